using System;
using System.Data;
using System.Globalization;
using System.Net;
using System.Net.Mail;
using System.Text.RegularExpressions;
using Microsoft.Data.SqlClient;

namespace Tandem
{
    /// <summary>
    /// Tells a ticket's solver of a comment that came from Azure DevOps, by Alvao's own e-mail
    /// queue or its Teams bot. It runs inside the call of Tandem's account that wrote the
    /// comment, where Alvao's API knows its tenant; nobody's action waits for it.
    /// </summary>
    public static class SolverNotice
    {
        // The first copy of a comment; that of an edit has a -V and is not told again.
        private static readonly Regex Mirrored = new Regex(
            @"TANDEM-W[0-9]{1,18}-C[0-9]{1,18}-[0-9A-Z]{6}", RegexOptions.CultureInvariant);

        private static readonly TimeSpan Rest = TimeSpan.FromMinutes(10);
        private static DateTime notBefore = DateTime.MinValue;

        public static void Consider(SqlConnection con, SqlTransaction trans, int actId, int personId)
        {
            try
            {
                // First of all: where the settings can't be read, nobody's action may wait for that twice.
                if (personId == 0 || DateTime.UtcNow < notBefore)
                    return;
                // Old settings do: a person's action must not read them each minute.
                var settings = SettingsCache.Get(con, trans, 2, true);
                if (personId != settings.AccountId || (!settings.NotifyByEmail && !settings.NotifyByTeams))
                    return;
                settings = SettingsCache.Get(con, trans, 2, false);
                Tell(con, trans, settings, actId);
            }
            catch (Exception e)
            {
                notBefore = DateTime.UtcNow + Rest;
                Log.Problem("notice", "a solver was not told of a comment; notices rest for ten minutes.", e);
            }
        }

        private static void Tell(SqlConnection con, SqlTransaction trans, Settings settings, int actId)
        {
            int ticketId, solverId;
            string text, tag, title, solverMail, sender;
            using (var command = con.CreateCommand())
            {
                command.Transaction = trans;
                command.CommandTimeout = 5;
                command.CommandText =
                    "SELECT a.mActNotice, a.ActHtml, t.iHdTicketId, t.sHdTicketMessageTag, t.sHdTicket, "
                    + "p.iPersonId, p.sPersonEmail, s.sHdSectionEmail FROM tAct a "
                    + "JOIN tHdTicket t ON t.iHdTicketId = a.liActHdTicketId "
                    + "JOIN tPerson p ON p.iPersonId = t.liHdTicketSolverPersonId "
                    + "JOIN tHdSection s ON s.iHdSectionId = t.liHdTicketHdSectionId "
                    + "WHERE a.iActId = @id AND p.bPersonAccountDisabled = 0 AND p.dPersonRemoved IS NULL";
                var parameter = command.CreateParameter();
                parameter.ParameterName = "@id";
                parameter.DbType = DbType.Int32;
                parameter.Value = actId;
                command.Parameters.Add(parameter);
                using (var row = command.ExecuteReader())
                {
                    if (!row.Read())
                        return; // no solver to tell
                    text = Text(row, 0);
                    if (!Mirrored.IsMatch(text) && !Mirrored.IsMatch(Text(row, 1)))
                        return;
                    ticketId = Convert.ToInt32(row.GetValue(2), CultureInfo.InvariantCulture);
                    tag = Text(row, 3);
                    title = Text(row, 4);
                    solverId = Convert.ToInt32(row.GetValue(5), CultureInfo.InvariantCulture);
                    solverMail = Text(row, 6);
                    sender = Text(row, 7);
                }
            }
            var address = (Alvao.API.Common.DbProperty.WebAppUrl ?? "").TrimEnd('/') + "/Ticket/" + ticketId.ToString(CultureInfo.InvariantCulture);
            var headline = OneLine("New comment from Azure DevOps: " + title + " (" + tag + ")");
            if (settings.NotifyByTeams)
                Alvao.API.SD.TeamsNotification.Send(solverId, headline, Shortened(text), "Open ticket", address, null, null);
            if (settings.NotifyByEmail && solverMail.Length > 0)
            {
                if (sender.Length == 0)
                    sender = Alvao.API.Common.DbProperty.AlvaoStandardSenderAddress ?? "";
                using (var message = new MailMessage(sender, solverMail, headline, Shortened(text) + "\r\n\r\n" + address))
                    Alvao.API.Common.Email.Queue(message);
            }
        }

        private static string Text(IDataRecord row, int column)
        {
            return row.IsDBNull(column) ? "" : Convert.ToString(row.GetValue(column), CultureInfo.InvariantCulture);
        }

        private static string OneLine(string text)
        {
            return Regex.Replace(text, @"[\s\p{C}]+", " ").Trim();
        }

        private static string Shortened(string text)
        {
            const int most = 4000;
            var cut = Database.Cut(text, most);
            return cut.Length == text.Length ? text : cut + "…";
        }
    }
}
