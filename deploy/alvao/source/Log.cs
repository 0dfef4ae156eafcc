using System;
using System.Collections.Generic;

namespace Tandem
{
    /// <summary>
    /// Lines in Alvao's own log. Each kind is written once in ten minutes at most, and none
    /// holds a key or anything that people wrote.
    /// </summary>
    public static class Log
    {
        private static readonly TimeSpan Pause = TimeSpan.FromMinutes(10);
        private static readonly object Lock = new object();
        private static readonly Dictionary<string, DateTime> Written = new Dictionary<string, DateTime>();

        public static void Problem(string kind, string sentence, Exception cause)
        {
            try
            {
                lock (Lock)
                {
                    DateTime last;
                    if (Written.TryGetValue(kind, out last) && DateTime.UtcNow - last < Pause)
                        return;
                    Written[kind] = DateTime.UtcNow;
                }
                Alvao.API.Internal.TenantDiagnosticsLog.Get().Error(
                    "Tandem: " + sentence + (cause == null ? "" : " (" + cause.GetType().Name + ")"));
            }
            catch (Exception)
            {
                // There is nobody left to tell.
            }
        }
    }
}
