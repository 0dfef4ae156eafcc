using System;
using System.Collections.Generic;
using System.Data;
using System.Data.Common;
using System.Threading;

namespace Tandem
{
    /// <summary>Something that happened and is to be told.</summary>
    public sealed class Hint
    {
        public string Event;
        public int TicketId, ActId, PersonId;
        public string Properties;
        /// <summary>It is told once more, to be sure.</summary>
        public bool Again;
        /// <summary>A connection of its own to the database where it happened, closed.</summary>
        public DbConnection Connection;
        internal DateTime Happened, NotBefore;
        internal int Tries;
    }

    /// <summary>
    /// The hints that wait to be posted, and the one thread that posts them. Adding one does
    /// nothing but remember it: no database, no network, no waiting, no exception. What is
    /// lost with the process, or dropped here, is told by the hourly round (HourlyRound).
    /// </summary>
    public static class Outbox
    {
        public const int Most = 10000;
        private static readonly TimeSpan Patience = TimeSpan.FromMinutes(15);
        private static readonly TimeSpan Idle = TimeSpan.FromSeconds(30);

        private static readonly object Lock = new object();
        private static readonly LinkedList<Hint> Waiting = new LinkedList<Hint>();
        private static bool running;
        private static int busy;

        /// <summary>How many wait or are being posted.</summary>
        public static int Count
        {
            get { lock (Lock) return Waiting.Count + busy; }
        }

        public static void Add(IDbConnection con, Hint hint)
        {
            try
            {
                // A clone keeps the password that ConnectionString does not show, and is closed.
                hint.Connection = (DbConnection)((ICloneable)con).Clone();
                hint.Happened = hint.NotBefore = DateTime.UtcNow;
                lock (Lock)
                {
                    if (Waiting.Count >= Most)
                    {
                        Log.Problem("full", "too many changes wait to be told; the oldest are left to the hourly round.", null);
                        Waiting.RemoveFirst();
                    }
                    Waiting.AddLast(hint);
                    if (running)
                    {
                        Monitor.Pulse(Lock);
                        return;
                    }
                    running = true;
                }
                // ExecutionContext is not carried over: it may hold the user's transaction.
                var flow = ExecutionContext.IsFlowSuppressed() ? (AsyncFlowControl?)null : ExecutionContext.SuppressFlow();
                try
                {
                    new Thread(Run) { IsBackground = true, Name = "Tandem" }.Start();
                }
                catch (Exception)
                {
                    lock (Lock)
                        running = false;
                    throw;
                }
                finally
                {
                    if (flow.HasValue)
                        flow.Value.Undo();
                }
            }
            catch (Exception e)
            {
                Log.Problem("add", "a change can't be told at once.", e);
            }
        }

        private static void Run()
        {
            try
            {
                for (;;)
                {
                    Hint next;
                    lock (Lock)
                    {
                        next = Take();
                        if (next == null)
                        {
                            running = false;
                            return;
                        }
                        busy = 1;
                    }
                    try
                    {
                        Serve(next);
                    }
                    finally
                    {
                        lock (Lock)
                            busy = 0;
                    }
                }
            }
            catch (Exception e)
            {
                // A later hint starts another thread.
                lock (Lock)
                    running = false;
                Log.Problem("run", "telling changes broke off.", e);
            }
        }

        /// <summary>Takes the first hint that is due; null if there was none for a while. The caller holds the lock.</summary>
        private static Hint Take()
        {
            var since = DateTime.UtcNow;
            for (;;)
            {
                var now = DateTime.UtcNow;
                var pause = Waiting.Count == 0 ? Idle - (now - since) : TimeSpan.FromSeconds(60);
                for (var node = Waiting.First; node != null; node = node.Next)
                {
                    if (node.Value.NotBefore <= now)
                    {
                        Waiting.Remove(node);
                        return node.Value;
                    }
                    var left = node.Value.NotBefore - now;
                    if (left < pause)
                        pause = left;
                }
                if (pause <= TimeSpan.Zero)
                    return null;
                Monitor.Wait(Lock, pause + TimeSpan.FromMilliseconds(1));
            }
        }

        private static void Serve(Hint hint)
        {
            var answer = Answer.Later;
            try
            {
                answer = Tell(hint);
            }
            catch (Exception e)
            {
                // Most often the change is not committed yet.
                if (hint.Tries > 3)
                    Log.Problem("read", "a change can't be read from the database; it is tried again.", e);
            }
            if (answer != Answer.Later)
                return;
            hint.Tries++;
            if (DateTime.UtcNow - hint.Happened > Patience)
            {
                Log.Problem("patience", "a change could not be told for 15 minutes; the hourly round tells it.", null);
                return;
            }
            var pause = TimeSpan.FromSeconds(Math.Min(60, 1 << Math.Min(hint.Tries - 1, 6)));
            lock (Lock)
            {
                hint.NotBefore = DateTime.UtcNow + pause;
                Waiting.AddLast(hint);
                // While the gateway is away the others would only wait for it in turn.
                foreach (var other in Waiting)
                    if (other.NotBefore < DateTime.UtcNow + TimeSpan.FromSeconds(1))
                        other.NotBefore = DateTime.UtcNow + TimeSpan.FromSeconds(1);
            }
        }

        /// <summary>Reads what a hint is about and posts it to each connector that it concerns.</summary>
        public static Answer Tell(Hint hint)
        {
            using (var con = (DbConnection)((ICloneable)hint.Connection).Clone())
            {
                con.Open();
                return Tell(con, hint);
            }
        }

        public static Answer Tell(DbConnection con, Hint hint)
        {
            var settings = SettingsCache.Get(con, null, 15, false);
            if (settings.Gateway == null || settings.Connectors.Count == 0)
                return Answer.Taken;
            RecordFacts record = null;
            int serviceId;
            string serviceName;
            if (hint.ActId != 0)
            {
                record = Database.Record(con, hint.ActId);
                if (record == null)
                    return Answer.Taken; // rolled back, or a record of something else than a ticket
                serviceId = record.ServiceId;
                serviceName = record.ServiceName;
            }
            else
            {
                if (settings.AccountId != 0 && hint.PersonId == settings.AccountId)
                    return Answer.Taken; // Tandem knows what it did itself
                var ticket = Database.Ticket(con, hint.TicketId);
                if (ticket == null)
                    return Answer.Taken;
                serviceId = ticket.ServiceId;
                serviceName = ticket.ServiceName;
            }
            // A ticket that changed its service concerns the one that it left, too.
            var moved = (hint.Properties ?? "").IndexOf("liHdTicketHdSectionId", StringComparison.OrdinalIgnoreCase) >= 0;
            var worst = Answer.Taken;
            foreach (var connector in settings.Connectors)
                if (connector.Key.Length > 0 && (moved || connector.Covers(serviceId, serviceName)))
                {
                    var answer = Gateway.Post(settings.Gateway, connector, Gateway.Body(hint, record, settings));
                    if (answer == Answer.Later)
                        worst = Answer.Later;
                }
            return worst;
        }
    }
}
