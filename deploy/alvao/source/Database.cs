using System;
using System.Collections.Generic;
using System.Data;
using System.Data.Common;
using System.Globalization;
using System.Text;

namespace Tandem
{
    public sealed class TicketFacts
    {
        public int ServiceId;
        public string ServiceName;
    }

    public sealed class RecordFacts
    {
        public int TicketId;
        public int ServiceId;
        public string ServiceName;
        public int CreatedBy;
        public bool Removed;
        /// <summary>When it was read, by the database's clock, UTC.</summary>
        public DateTime AsOf;
        public DateTime? Created;
        public string Subject, Html, Plain, From;
        public int Kind, Mark;
        public bool ShowToRequester;
        public bool Cut;
        public readonly List<FileFacts> Files = new List<FileFacts>();
    }

    public sealed class FileFacts
    {
        public int Id;
        public string Name;
        /// <summary>Null where Alvao keeps files outside the database.</summary>
        public long? Size;
        public bool IsLink;
    }

    /// <summary>
    /// Reads tickets and records over a connection of the application's own, never over that
    /// of a user's action. READCOMMITTEDLOCK waits until the action that changed the row has
    /// committed or been rolled back, also where the database keeps row versions: what was
    /// rolled back is never told. Tables and columns: Alvao API reference 25, tAct, tHdTicket,
    /// tHdSection, tPerson, tDocument.
    /// </summary>
    public static class Database
    {
        // What sync-core takes (tandem.v1.PushedRecord), in bytes of UTF-8.
        private const int MaxHtml = 512 * 1024, MaxPlain = 128 * 1024, MaxLine = 1024;
        private const int MaxFiles = 200;
        private const int Timeout = 15;

        /// <summary>SQL Server's "Lock request time out period exceeded".</summary>
        private const string Wait = "SET LOCK_TIMEOUT 3000; ";

        /// <summary>Null: there is no such ticket, or none any more.</summary>
        public static TicketFacts Ticket(DbConnection con, int ticketId)
        {
            using (var command = Command(con, Wait
                + "SELECT t.liHdTicketHdSectionId, s.sHdSection FROM tHdTicket t WITH (READCOMMITTEDLOCK) "
                + "LEFT JOIN tHdSection s ON s.iHdSectionId = t.liHdTicketHdSectionId WHERE t.iHdTicketId = @id", ticketId))
            using (var rows = command.ExecuteReader())
                return rows.Read() ? new TicketFacts { ServiceId = Int(rows, 0), ServiceName = Text(rows, 1) } : null;
        }

        /// <summary>Null: there is no such record, or it belongs to no ticket.</summary>
        public static RecordFacts Record(DbConnection con, int actId)
        {
            using (var command = Command(con, Wait
                + "SELECT a.liActHdTicketId, a.dActRemoved, a.sAct, a.ActHtml, a.mActNotice, a.liActKindId, a.ActMarkId, a.UserRead, "
                + "COALESCE(p.sPerson, a.sActFrom, a.sActFromEmail), COALESCE(a.dAct, a.dRecordCreated), a.CreatedByPersonId, "
                + "t.liHdTicketHdSectionId, s.sHdSection "
                + "FROM tAct a WITH (READCOMMITTEDLOCK) LEFT JOIN tHdTicket t ON t.iHdTicketId = a.liActHdTicketId "
                + "LEFT JOIN tHdSection s ON s.iHdSectionId = t.liHdTicketHdSectionId "
                + "LEFT JOIN tPerson p ON p.iPersonId = a.liActFromPersonId WHERE a.iActId = @id; "
                + "SELECT d.iDocumentId, d.sDocument, DATALENGTH(d.oDocument), d.Url FROM tDocument d "
                + "WHERE d.liDocumentActId = @id ORDER BY d.iDocumentId; "
                + "SELECT SYSUTCDATETIME()", actId))
            using (var rows = command.ExecuteReader())
            {
                if (!rows.Read() || rows.IsDBNull(0))
                    return null;
                var r = new RecordFacts
                {
                    TicketId = Int(rows, 0),
                    Removed = !rows.IsDBNull(1),
                    Subject = Text(rows, 2),
                    Html = Text(rows, 3),
                    Plain = Text(rows, 4),
                    Kind = Int(rows, 5),
                    Mark = Int(rows, 6),
                    ShowToRequester = Int(rows, 7) != 0,
                    From = Text(rows, 8),
                    Created = rows.IsDBNull(9) ? (DateTime?)null : rows.GetDateTime(9),
                    CreatedBy = Int(rows, 10),
                    ServiceId = Int(rows, 11),
                    ServiceName = Text(rows, 12)
                };
                rows.NextResult();
                while (rows.Read() && r.Files.Count < MaxFiles)
                    r.Files.Add(new FileFacts
                    {
                        Id = Int(rows, 0),
                        Name = Cut(Text(rows, 1), MaxLine),
                        Size = rows.IsDBNull(2) ? (long?)null : Convert.ToInt64(rows.GetValue(2), CultureInfo.InvariantCulture),
                        IsLink = Text(rows, 3).Length > 0
                    });
                while (rows.NextResult())
                    if (rows.Read())
                        r.AsOf = rows.GetDateTime(0);
                var html = Cut(r.Html, MaxHtml);
                var plain = Cut(r.Plain, MaxPlain);
                r.Cut = html.Length != r.Html.Length || plain.Length != r.Plain.Length;
                r.Html = html;
                r.Plain = plain;
                r.Subject = Cut(r.Subject, MaxLine);
                r.From = Cut(r.From, MaxLine);
                return r;
            }
        }

        /// <summary>
        /// The first records below a number that were made, changed or deleted of late, the newest
        /// first. Whether the times are local or UTC is not documented: the earlier of both now's
        /// counts.
        /// </summary>
        public static List<int> RecordsOfLate(DbConnection con, int hours, int below, int most)
        {
            var ids = new List<int>();
            using (var command = Command(con,
                "DECLARE @since datetime = DATEADD(hour, -" + hours.ToString(CultureInfo.InvariantCulture) + ", CASE WHEN GETDATE() < GETUTCDATE() THEN GETDATE() ELSE GETUTCDATE() END); "
                + "SELECT TOP (" + most.ToString(CultureInfo.InvariantCulture) + ") a.iActId FROM tAct a "
                + "WHERE a.liActHdTicketId IS NOT NULL AND a.iActId < @id AND (a.dRecordCreated >= @since OR a.Modified >= @since OR a.dActRemoved >= @since) "
                + "ORDER BY a.iActId DESC", below))
            using (var rows = command.ExecuteReader())
                while (rows.Read())
                    ids.Add(Int(rows, 0));
            return ids;
        }

        private static DbCommand Command(DbConnection con, string text, int id)
        {
            var command = con.CreateCommand();
            command.CommandTimeout = Timeout;
            command.CommandText = text;
            var parameter = command.CreateParameter();
            parameter.ParameterName = "@id";
            parameter.DbType = DbType.Int32;
            parameter.Value = id;
            command.Parameters.Add(parameter);
            return command;
        }

        private static int Int(IDataRecord row, int column)
        {
            return row.IsDBNull(column) ? 0 : Convert.ToInt32(row.GetValue(column), CultureInfo.InvariantCulture);
        }

        private static string Text(IDataRecord row, int column)
        {
            return row.IsDBNull(column) ? "" : Convert.ToString(row.GetValue(column), CultureInfo.InvariantCulture);
        }

        /// <summary>The longest beginning that takes no more bytes of UTF-8 and breaks no pair of surrogates.</summary>
        public static string Cut(string text, int bytes)
        {
            if (text.Length <= bytes / 3)
                return text;
            var used = 0;
            for (var i = 0; i < text.Length;)
            {
                var pair = char.IsHighSurrogate(text[i]) && i + 1 < text.Length && char.IsLowSurrogate(text[i + 1]);
                var c = text[i];
                used += pair ? 4 : c < 0x80 ? 1 : c < 0x800 ? 2 : 3;
                if (used > bytes)
                    return text.Substring(0, i);
                i += pair ? 2 : 1;
            }
            return text;
        }
    }
}
