using System;
using System.Data.Common;
using Alvao.Apps.API;
using Microsoft.Data.SqlClient;

namespace Tandem
{
    /// <summary>
    /// Tells the records of late once more, in case a hint was lost while Tandem or Alvao was
    /// down. What Tandem knows already costs it next to nothing.
    /// </summary>
    public class HourlyRound : IPeriodicAction
    {
        private const int Most = 2000;

        public string Name { get; set; }

        public HourlyRound()
        {
            Name = "Tandem: hourly round";
        }

        public void OnPeriod(SqlConnection con)
        {
            try
            {
                using (var own = (DbConnection)((ICloneable)con).Clone())
                {
                    own.Open();
                    var settings = SettingsCache.Get(own, null, 15, false);
                    if (settings.Gateway == null || settings.Connectors.Count == 0)
                        return;
                    foreach (var actId in Database.RecordsOfLate(own, settings.LookBackHours, Most))
                        if (Outbox.Tell(own, new Hint { Event = "act.swept", ActId = actId, Again = true }) == Answer.Later)
                            return; // the gateway is away; the next round is in an hour
                }
            }
            catch (Exception e)
            {
                Log.Problem("round", "the hourly round broke off.", e);
            }
        }
    }
}
