using System;
using System.Collections.Generic;
using System.Data.Common;
using System.Globalization;
using System.Threading;
using Alvao.Apps.API;
using Microsoft.Data.SqlClient;

namespace Tandem
{
    /// <summary>
    /// Tells the records of late once more, in case a hint was lost while Tandem or Alvao was
    /// down, and in the end that this was all. What Tandem knows already costs it next to
    /// nothing. A round that takes too long goes on in an hour where it stopped.
    /// </summary>
    public class HourlyRound : IPeriodicAction
    {
        /// <summary>How long the action may take. Another of Alvao's actions waits for it.</summary>
        public static TimeSpan Limit = TimeSpan.FromMinutes(10);
        /// <summary>How many records are asked for at once.</summary>
        public static int Page = 500;

        /// <summary>A round that has not come to its end.</summary>
        private sealed class Unfinished
        {
            public DateTime Began;
            /// <summary>Records from this number up were told.</summary>
            public int Below = int.MaxValue;
            public int Told;
            /// <summary>The record that could not be read the last time.</summary>
            public int Failed;
        }

        private static readonly object Lock = new object();
        /// <summary>By database; lost with the process, which then begins anew.</summary>
        private static readonly Dictionary<string, Unfinished> Rounds = new Dictionary<string, Unfinished>();

        public string Name { get; set; }

        public HourlyRound()
        {
            Name = "Tandem: hourly round";
        }

        public void OnPeriod(SqlConnection con)
        {
            // One that still runs goes on.
            if (!Monitor.TryEnter(Lock))
                return;
            try
            {
                using (var own = (DbConnection)((ICloneable)con).Clone())
                {
                    own.Open();
                    var settings = SettingsCache.Get(own, null, 15, false);
                    if (settings.Gateway == null || settings.Connectors.Count == 0)
                        return;
                    Go(own, settings);
                }
            }
            catch (Exception e)
            {
                Log.Problem("round", "the hourly round broke off; it goes on in an hour.", e);
            }
            finally
            {
                Monitor.Exit(Lock);
            }
        }

        private static void Go(DbConnection con, Settings settings)
        {
            var now = DateTime.UtcNow;
            var until = now + Limit;
            var name = SettingsCache.Of(con);
            Unfinished round;
            var old = Rounds.TryGetValue(name, out round);
            if (old && now - round.Began > TimeSpan.FromHours(24))
                old = false; // the changes since then matter more
            if (!old)
                Rounds[name] = round = new Unfinished { Began = now };
            if (!Finish(con, settings, round, until))
                return;
            Rounds.Remove(name);
            if (!old)
                return;
            // What was left of the last one is told; what happened since is not.
            Rounds[name] = round = new Unfinished { Began = DateTime.UtcNow };
            if (Finish(con, settings, round, until))
                Rounds.Remove(name);
        }

        /// <summary>Tells what is left of a round. False: it is not at its end.</summary>
        private static bool Finish(DbConnection con, Settings settings, Unfinished round, DateTime until)
        {
            // What was young enough when the round began is told, however long it takes.
            var hours = settings.LookBackHours + (int)Math.Ceiling(Math.Max(0, (DateTime.UtcNow - round.Began).TotalHours));
            for (;;)
            {
                var page = Database.RecordsOfLate(con, hours, round.Below, Page);
                if (page.Count == 0)
                    break;
                foreach (var actId in page)
                {
                    if (DateTime.UtcNow > until)
                    {
                        Log.Problem("round unfinished", "the hourly round told "
                            + round.Told.ToString(CultureInfo.InvariantCulture)
                            + " records and goes on with the rest in an hour; if that comes often, make TandemLookBackHours smaller.", null);
                        return false;
                    }
                    try
                    {
                        if (Outbox.Tell(con, new Hint { Event = "act.swept", ActId = actId, Again = true }) == Answer.Later)
                            return false; // the gateway is away
                    }
                    catch (Exception e)
                    {
                        if (round.Failed != actId)
                        {
                            round.Failed = actId;
                            throw;
                        }
                        Log.Problem("unreadable", "a record can't be read from the database; the hourly round leaves it out.", e);
                    }
                    round.Below = actId;
                    round.Told++;
                }
            }
            foreach (var connector in settings.Connectors)
                if (connector.Key.Length > 0
                    && Gateway.Post(settings.Gateway, connector, Gateway.RoundBody(DateTime.UtcNow - round.Began)) == Answer.Later)
                    return false;
            return true;
        }
    }
}
