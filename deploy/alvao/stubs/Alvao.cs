// What the application needs of Alvao, as Alvao's documentation has it, so that the
// application can be compiled and run without Alvao: interfaces of custom applications
// (doc.alvao.com/en/25, i-entity-command and ticket-custom-actions-by-events), the API
// reference 25.3, and what published applications use (Alvao.Context, NLog). Methods do
// no more than remember what they were called with. Nothing here is part of the package.
using System;
using System.Collections.Generic;
using System.Data;
using System.Globalization;
using System.Net.Mail;
using Microsoft.Data.SqlClient;

namespace Alvao.Apps.API
{
    using Alvao.API.Common.Model.CustomApps;

    public interface ITicketAutoAction
    {
        void OnTicketChanged(SqlConnection con, SqlTransaction trans, int ticketId, int personId, string properties);
        void OnTicketCreated(SqlConnection con, SqlTransaction trans, int ticketId, int personId);
    }

    public interface IActAutoAction
    {
        void OnActChanged(SqlConnection con, SqlTransaction trans, int actId, int personId, string properties);
        void OnActCreated(SqlConnection con, SqlTransaction trans, int actId, int personId);
        void OnActRemoved(SqlConnection con, SqlTransaction trans, int actId, int personId);
    }

    public interface IPeriodicAction
    {
        void OnPeriod(SqlConnection con);
    }

    public interface IEntityCommand
    {
        EntityCommandShowResult Show(int entityId, int personId);
        CommandResult Run(int entityId, int personId);
    }
}

namespace Alvao.API.Common.Model.CustomApps
{
    public enum Entity { Request, Object }

    public enum MessageType { None, Info, Warning, Error }

    public class EntityCommandShowResult
    {
        public string Name { get; private set; }
        public bool Show { get; private set; }
        public int Position { get; private set; }
        public string Icon { get; private set; }

        public EntityCommandShowResult(bool show, string name, string icon, int position)
        {
            Show = show;
            Name = name;
            Icon = icon;
            Position = position;
        }
    }

    public class CommandResult
    {
        public MessageType MessageType { get; private set; }
        public string MessageText { get; private set; }
        public string NavigateToUrl { get; private set; }

        public CommandResult(MessageType messageType, string messageText, string navigateToUrl)
        {
            MessageType = messageType;
            MessageText = messageText;
            NavigateToUrl = navigateToUrl;
        }
    }
}

namespace Alvao.API.Common.Model.Database
{
    public class tHdSection
    {
        public virtual int iHdSectionId { get; set; }
        public virtual string sHdSection { get; set; }
    }
}

namespace Alvao.API.Common
{
    public static class Database
    {
        public static readonly Dictionary<string, string> Columns = new Dictionary<string, string>();
        public static bool Broken;

        public static string ReadColumn(int recordId, string tableName, string columnName)
        {
            if (Broken)
                throw new InvalidOperationException("the database is away");
            string value;
            return Columns.TryGetValue(tableName + "." + columnName + "/" + recordId, out value) ? value : null;
        }
    }

    public static class CustomColumn
    {
        public static string GetValue(string tableName, string columnName, int entityId, CultureInfo language, string timeZone,
            bool returnPersonName = true, bool returnBitAsNumber = true, bool formatDouble = false)
        {
            return Database.ReadColumn(entityId, tableName, columnName);
        }
    }

    public static class DbProperty
    {
        public static string WebAppUrl { get; set; }
        public static string AlvaoStandardSenderAddress { get; set; }
    }

    public static class Email
    {
        public enum MailQueuePriority { Low = 5000, Standard = 10000, High = 15000 }

        public static readonly List<string> Queued = new List<string>();

        public static void Queue(MailMessage message, MailQueuePriority queuePriority = MailQueuePriority.Standard)
        {
            Queued.Add(message.From.Address + " | " + message.To + " | " + message.Subject + " | " + message.Body);
        }
    }
}

namespace Alvao.API.SD
{
    using Alvao.API.Common.Model.Database;

    public static class Section
    {
        public static readonly Dictionary<int, tHdSection> OfTickets = new Dictionary<int, tHdSection>();

        public static tHdSection GetByTicketId(int ticketId)
        {
            tHdSection section;
            return OfTickets.TryGetValue(ticketId, out section) ? section : null;
        }
    }

    public static class TeamsNotification
    {
        public static readonly List<string> Sent = new List<string>();
        public static bool Broken;

        public static void Send(int toPersonId, string subject, string notificationText, string buttonText, string buttonLink,
            int? iconId, int? iconColor)
        {
            if (Broken)
                throw new InvalidOperationException("the bot is away");
            Sent.Add(toPersonId + " | " + subject + " | " + notificationText + " | " + buttonText + " | " + buttonLink);
        }
    }
}

namespace Alvao.API.Internal
{
    public static class TenantDiagnosticsLog
    {
        public static readonly NLog.ILogger Logger = new NLog.Lines();

        public static NLog.ILogger Get()
        {
            return Logger;
        }
    }
}

namespace Alvao.Context
{
    using Alvao.Context.DB;

    public static class AlvaoContext
    {
        public static IConnectionScope Scope;

        public static IConnectionScope GetConnectionScope()
        {
            if (Scope == null)
                throw new InvalidOperationException("there is no tenant here");
            return Scope;
        }
    }
}

namespace Alvao.Context.DB
{
    public interface IConnectionScope : IDisposable
    {
        IDbConnection Connection { get; }
        SqlConnection LegacyConnection { get; }
        SqlTransaction LegacyTransaction { get; }
        IDbTransaction Transaction { get; }
    }
}

namespace NLog
{
    public interface ILogger
    {
        void Info(string message);
        void Error(string message);
        void Error(Exception exception, string message);
    }

    public sealed class Lines : ILogger
    {
        public readonly List<string> Written = new List<string>();

        public void Info(string message) { lock (Written) Written.Add(message); }
        public void Error(string message) { lock (Written) Written.Add(message); }
        public void Error(Exception exception, string message) { lock (Written) Written.Add(message); }
    }
}
