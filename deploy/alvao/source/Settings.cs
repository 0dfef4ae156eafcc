using System;
using System.Collections.Generic;
using System.Data;
using System.Data.Common;
using System.Globalization;

namespace Tandem
{
    /// <summary>One connector of Tandem and the service whose tickets it is told of.</summary>
    public sealed class Connector
    {
        public string Name;
        /// <summary>The service's name or number; * for all services.</summary>
        public string Service;
        public string Key;
        /// <summary>The address of the project in Azure DevOps; empty: unknown.</summary>
        public string Project;
        public bool ShowCommand;

        public bool Covers(int serviceId, string serviceName)
        {
            return Service == "*"
                || Service == serviceId.ToString(CultureInfo.InvariantCulture)
                || string.Equals(Service, (serviceName ?? "").Trim(), StringComparison.OrdinalIgnoreCase);
        }
    }

    /// <summary>
    /// What stands in Administration - Settings - Advanced under names that begin with
    /// Tandem (table tProperty). Nothing in it is a default that sends anything anywhere:
    /// without TandemUrl and a complete connector the application does nothing.
    /// </summary>
    public sealed class Settings
    {
        public const int MaxConnectors = 100;

        /// <summary>Null: nothing is sent.</summary>
        public Uri Gateway;
        public readonly List<Connector> Connectors = new List<Connector>();
        /// <summary>tPerson.iPersonId of the account that Tandem uses; 0: unknown.</summary>
        public int AccountId;
        /// <summary>Whether texts and the list of files are told, or the marks alone.</summary>
        public bool Content;
        public bool NotifyByEmail;
        public bool NotifyByTeams;
        public string ExternalIdField;
        public string ConnectorField;
        public string CommandName;
        /// <summary>Where a file is read below AlvaoRestApi, with {id} for its number; empty: unknown.</summary>
        public string FileLink;
        public int LookBackHours;

        /// <summary>
        /// Reads the settings. Both tables and their columns are documented (Alvao API
        /// reference 25: tProperty, tPerson), so that the statement can't fail the caller's
        /// transaction for want of one. NOLOCK: nobody waits for who edits the settings.
        /// </summary>
        public static Settings Read(IDbConnection con, IDbTransaction trans, int timeoutSeconds)
        {
            var values = new Dictionary<string, string>(StringComparer.OrdinalIgnoreCase);
            using (var command = con.CreateCommand())
            {
                command.Transaction = trans;
                command.CommandTimeout = timeoutSeconds;
                command.CommandText =
                    "SELECT sProperty, sPropertyValue FROM tProperty WITH (NOLOCK) WHERE sProperty LIKE N'Tandem%'";
                using (var rows = command.ExecuteReader())
                    while (rows.Read())
                        if (!rows.IsDBNull(1))
                            values[rows.GetString(0)] = rows.GetString(1).Trim();
            }
            var settings = Parse(values);
            var login = Get(values, "TandemAccount", "");
            if (login.Length > 0)
                using (var command = con.CreateCommand())
                {
                    command.Transaction = trans;
                    command.CommandTimeout = timeoutSeconds;
                    command.CommandText = "SELECT iPersonId FROM tPerson WITH (NOLOCK) WHERE sPersonLogin = @login AND dPersonRemoved IS NULL";
                    var parameter = command.CreateParameter();
                    parameter.ParameterName = "@login";
                    parameter.DbType = DbType.String;
                    parameter.Value = login;
                    command.Parameters.Add(parameter);
                    var id = command.ExecuteScalar();
                    if (id != null && id != DBNull.Value)
                        settings.AccountId = Convert.ToInt32(id, CultureInfo.InvariantCulture);
                }
            return settings;
        }

        public static Settings Parse(IDictionary<string, string> values)
        {
            var s = new Settings();
            Uri gateway;
            // Keys and messages go nowhere unencrypted, but to a gateway on the same machine.
            if (Uri.TryCreate(Get(values, "TandemUrl", "").TrimEnd('/') + "/", UriKind.Absolute, out gateway)
                && (gateway.Scheme == "https" || (gateway.Scheme == "http" && gateway.IsLoopback))
                && gateway.UserInfo.Length == 0 && gateway.Query.Length == 0)
                s.Gateway = gateway;
            s.Content = Flag(values, "TandemContent", true);
            var notify = "," + Get(values, "TandemNotify", "").Replace(" ", "").ToLowerInvariant() + ",";
            s.NotifyByEmail = notify.Contains(",email,");
            s.NotifyByTeams = notify.Contains(",teams,");
            s.ExternalIdField = Get(values, "TandemExternalIdField", "ExternalTicketId");
            s.ConnectorField = Get(values, "TandemConnectorField", "");
            s.CommandName = Get(values, "TandemCommandName", "Open related Azure DevOps work item");
            s.FileLink = Get(values, "TandemFileLink", "");
            int hours;
            if (!int.TryParse(Get(values, "TandemLookBackHours", ""), NumberStyles.None, CultureInfo.InvariantCulture, out hours))
                hours = 26;
            s.LookBackHours = Math.Max(1, Math.Min(hours, 24 * 90));
            for (var n = 0; n < MaxConnectors; n++)
            {
                var number = n.ToString(CultureInfo.InvariantCulture);
                var one = new Connector
                {
                    Name = Get(values, "TandemConnector" + number, ""),
                    Service = Get(values, "TandemService" + number, ""),
                    Key = Get(values, "TandemKey" + number, ""),
                    Project = Get(values, "TandemProject" + number, "").TrimEnd('/'),
                    ShowCommand = Flag(values, "TandemShowCommand" + number, true)
                };
                if (one.Name.Length > 0 && one.Service.Length > 0)
                    s.Connectors.Add(one);
            }
            return s;
        }

        private static string Get(IDictionary<string, string> values, string name, string otherwise)
        {
            string value;
            return values.TryGetValue(name, out value) && value != null && value.Trim().Length > 0 ? value.Trim() : otherwise;
        }

        private static bool Flag(IDictionary<string, string> values, string name, bool otherwise)
        {
            switch (Get(values, name, "").ToLowerInvariant())
            {
                case "true": case "yes": case "1": return true;
                case "false": case "no": case "0": return false;
                default: return otherwise;
            }
        }
    }

    /// <summary>The settings of each database, for a minute.</summary>
    public static class SettingsCache
    {
        private sealed class Entry
        {
            public Settings Value;
            public DateTime Until;
        }

        private static readonly TimeSpan Lifetime = TimeSpan.FromMinutes(1);
        private static readonly object Lock = new object();
        private static readonly Dictionary<string, Entry> Entries = new Dictionary<string, Entry>();

        /// <summary>What tells databases of one process apart.</summary>
        public static string Of(IDbConnection con)
        {
            var db = con as DbConnection;
            return (db == null ? "" : db.DataSource) + "\n" + con.Database;
        }

        /// <summary>
        /// The settings, read if they are older than a minute. With old ones allowed they are
        /// read only if there are none at all.
        /// </summary>
        public static Settings Get(IDbConnection con, IDbTransaction trans, int timeoutSeconds, bool oldOnes)
        {
            var name = Of(con);
            lock (Lock)
            {
                Entry known;
                if (Entries.TryGetValue(name, out known) && (oldOnes || DateTime.UtcNow < known.Until))
                    return known.Value;
            }
            var value = Settings.Read(con, trans, timeoutSeconds);
            lock (Lock)
                Entries[name] = new Entry { Value = value, Until = DateTime.UtcNow + Lifetime };
            return value;
        }

        public static void Clear()
        {
            lock (Lock)
                Entries.Clear();
        }
    }
}
