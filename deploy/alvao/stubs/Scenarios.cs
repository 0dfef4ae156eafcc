// Runs the application as Alvao would, over the stubs, and prints what came of it. The
// checks are made by who starts it (services/gateway/internal/app, TestAlvaoApplication).
using System;
using System.Collections.Generic;
using System.Diagnostics;
using System.Globalization;
using System.Linq;
using System.Text;
using System.Threading;
using Alvao.API.Common.Model.CustomApps;
using Alvao.API.Common.Model.Database;
using Alvao.Context.DB;
using Microsoft.Data.SqlClient;
using Tandem;

public sealed class Scope : IConnectionScope
{
    public Scope(Store store)
    {
        LegacyConnection = new SqlConnection(store);
        LegacyConnection.Open();
    }

    public System.Data.IDbConnection Connection { get { return LegacyConnection; } }
    public SqlConnection LegacyConnection { get; private set; }
    public SqlTransaction LegacyTransaction { get { return null; } }
    public System.Data.IDbTransaction Transaction { get { return null; } }
    public void Dispose() { }
}

public static class Scenarios
{
    private const int Requester = 10, Solver = 11, Account = 25;
    private static readonly Store Store = new Store();
    private static readonly TicketChanges Tickets = new TicketChanges();
    private static readonly RecordChanges Records = new RecordChanges();

    public static int Main(string[] args)
    {
        // Neither the tenant's language nor its calendar may show in what is sent.
        Thread.CurrentThread.CurrentCulture = new CultureInfo("ar-SA");
        CultureInfo.DefaultThreadCurrentCulture = new CultureInfo("ar-SA");
        Console.OutputEncoding = new UTF8Encoding(false);
        if (args.Length > 1)
            Furnish(args[1], args[2]);
        switch (args[0])
        {
            case "sign": Sign(); break;
            case "story": Story(); break;
            case "bare": Store.Properties["TandemContent"] = "no"; Story(); break;
            case "burst": Burst(int.Parse(args[3], CultureInfo.InvariantCulture)); break;
            case "one": One(); break;
            case "round": Round(); break;
            case "long round": LongRound(); break;
            case "broken": Broken(); break;
            case "unreadable": Unreadable(); break;
            case "command": Command(); break;
            case "notice": Notice(); break;
            default: return 2;
        }
        foreach (var line in ((NLog.Lines)Alvao.API.Internal.TenantDiagnosticsLog.Logger).Written)
            Console.WriteLine("log: " + line);
        return 0;
    }

    private static void Furnish(string gateway, string key)
    {
        Store.Properties["TandemUrl"] = gateway;
        Store.Properties["TandemAccount"] = "tandem";
        Store.Properties["TandemConnector0"] = "development";
        Store.Properties["TandemService0"] = "Development";
        Store.Properties["TandemKey0"] = key;
        Store.Properties["TandemProject0"] = "https://dev.azure.com/Alvao/Alvaoproject";
        Store.Properties["TandemFileLink"] = "v1/attachments/{id}";
        Store.Persons["tandem"] = Account;
        Store.Tickets[1001] = new object[] { 7, "Development" };
        Store.Tickets[1002] = new object[] { 8, "Payroll" };
        Store.Acts[9001] = Act(1001, "About", "<p>Kůň \"&\" \\ \u2028 \ud83d\ude00</p>", Requester, 1);
        Store.Documents[9001] = new List<object[]>
        {
            new object[] { 77, "kůň.png", 123L, null }, new object[] { 78, "page", null, "https://elsewhere.invalid/" }
        };
        Store.Acts[9002] = Act(1002, "Salaries", "<p>secret of another service</p>", Requester, 0);
        Store.Acts[9003] = Act(1001, "From Azure DevOps", "<p>use water</p>", Account, 0);
    }

    private static object[] Act(int ticket, string subject, string html, int by, int mark)
    {
        return new object[]
        {
            ticket, null, subject, html, "plain", 8, mark, true, "Eve", new DateTime(2026, 3, 1, 7, 0, 0), by,
            Store.Tickets[ticket][0], Store.Tickets[ticket][1]
        };
    }

    private static SqlConnection Open()
    {
        var con = new SqlConnection(Store);
        con.Open();
        return con;
    }

    private static bool Settle(int seconds)
    {
        var clock = Stopwatch.StartNew();
        while (Outbox.Count > 0 && clock.Elapsed < TimeSpan.FromSeconds(seconds))
            Thread.Sleep(20);
        return Outbox.Count == 0;
    }

    // Each line of the input: key, timestamp and body, each in base64 with a blank between.
    private static void Sign()
    {
        string line;
        while (!string.IsNullOrEmpty(line = Console.ReadLine()))
        {
            var parts = line.Split(' ').Select(Convert.FromBase64String).ToArray();
            Console.WriteLine(Gateway.Sign(Encoding.UTF8.GetString(parts[0]), Encoding.UTF8.GetString(parts[1]), parts[2]));
        }
    }

    private static void Story()
    {
        var con = Open();
        var trans = new SqlTransaction(con);
        Tickets.OnTicketCreated(con, trans, 1001, Requester);
        Records.OnActCreated(con, trans, 9001, Requester);
        Settle(30);
        Records.OnActChanged(con, trans, 9001, Requester, "tAct.ActMarkId");
        Records.OnActCreated(con, trans, 9002, Requester); // of another service
        Records.OnActCreated(con, trans, 9003, Account); // our own
        Tickets.OnTicketChanged(con, trans, 1001, Account, "tHdTicket.TicketStateId"); // our own
        Tickets.OnTicketChanged(con, trans, 1002, Requester, "tHdTicket.Priority"); // of another service
        Records.OnActCreated(con, trans, 9999, Requester); // rolled back
        Settle(30);
        Tickets.OnTicketChanged(con, trans, 1002, Requester, "tHdTicket.liHdTicketHdSectionId"); // moved to another service
        Settle(30);
        // A running transaction, which then changes its mind.
        lock (Store.Lock)
            Store.Held.Add(9001);
        Records.OnActChanged(con, trans, 9001, Requester, "tAct.sAct");
        Thread.Sleep(700);
        lock (Store.Lock)
        {
            Store.Acts[9001][3] = "<p>as committed</p>";
            Store.Held.Remove(9001);
            Monitor.PulseAll(Store.Lock);
        }
        Settle(30);
        Store.Acts[9001][1] = new DateTime(2026, 3, 2);
        Records.OnActRemoved(con, trans, 9001, Requester);
        Console.WriteLine("settled " + Settle(30));
    }

    // How long people wait for a number of changes, whatever the gateway does.
    private static void Burst(int count)
    {
        var con = Open();
        var trans = new SqlTransaction(con);
        Tickets.OnTicketCreated(con, trans, 1001, Requester); // compiles what is used below
        Records.OnActCreated(con, trans, 9001, Requester);
        Thread.Sleep(300); // by now it is being posted
        var worst = TimeSpan.Zero;
        var all = Stopwatch.StartNew();
        for (var n = 0; n < count; n++)
        {
            var one = Stopwatch.StartNew();
            Tickets.OnTicketChanged(con, trans, 1001, Requester, "tHdTicket.Priority");
            Records.OnActCreated(con, trans, 9001, Requester);
            Records.OnActChanged(con, trans, 9001, Requester, "tAct.sAct");
            if (one.Elapsed > worst)
                worst = one.Elapsed;
        }
        all.Stop();
        Thread.Sleep(200);
        Console.WriteLine("worst " + worst.TotalMilliseconds.ToString("F3", CultureInfo.InvariantCulture));
        Console.WriteLine("all " + all.Elapsed.TotalMilliseconds.ToString("F3", CultureInfo.InvariantCulture));
        Console.WriteLine("in transaction " + Store.InTransaction);
        Console.WriteLine("waiting " + (Outbox.Count <= Outbox.Most + 1));
    }

    private static void One()
    {
        var con = Open();
        Records.OnActCreated(con, new SqlTransaction(con), 9001, Requester);
        Console.WriteLine("settled " + Settle(60));
    }

    private static void Round()
    {
        var clock = Stopwatch.StartNew();
        new HourlyRound().OnPeriod(Open());
        Console.WriteLine("took " + clock.Elapsed.TotalMilliseconds.ToString("F0", CultureInfo.InvariantCulture));
    }

    // A round that may take no time at all tells one page and goes on the next time; then a new one begins.
    private static void LongRound()
    {
        Store.Acts.Remove(9002);
        for (var id = 9004; id <= 9008; id++)
            Store.Acts[id] = Act(1001, "No " + id, "<p>" + id + "</p>", Requester, 0);
        HourlyRound.Page = 2;
        HourlyRound.Limit = TimeSpan.FromSeconds(-1);
        new HourlyRound().OnPeriod(Open());
        Console.WriteLine("nothing told, nothing finished");
        HourlyRound.Limit = TimeSpan.FromMinutes(1);
        Store.Broken = 9005;
        new HourlyRound().OnPeriod(Open());
        Store.Broken = 0;
        new HourlyRound().OnPeriod(Open());
    }

    // Nothing that is wrong here reaches the user's action.
    private static void Broken()
    {
        var con = Open();
        var trans = new SqlTransaction(con);
        Store.Away = true;
        Tickets.OnTicketCreated(con, trans, 1001, Requester);
        Tickets.OnTicketChanged(null, null, 1001, Requester, null);
        Records.OnActCreated(con, trans, 9001, 0);
        Records.OnActCreated(null, null, 9001, Requester);
        Records.OnActChanged(con, trans, -1, Requester, new string('x', 1 << 20));
        Records.OnActRemoved(con, trans, int.MaxValue, Requester);
        new HourlyRound().OnPeriod(con);
        new HourlyRound().OnPeriod(null);
        var command = new OpenWorkItem().Show(1001, Solver);
        var run = new OpenWorkItem().Run(1001, Solver);
        Console.WriteLine("show " + command.Show + ", run " + run.MessageType);
    }

    // Settings that can't be read are asked for once in somebody's transaction, and then not for a while.
    private static void Unreadable()
    {
        Store.NoSettings = true;
        var con = Open();
        var trans = new SqlTransaction(con);
        for (var n = 0; n < 20; n++)
            Records.OnActCreated(con, trans, 9001, Requester);
        Console.WriteLine("in transaction " + Store.InTransaction);
    }

    private static void Command()
    {
        Alvao.Context.AlvaoContext.Scope = new Scope(Store);
        Alvao.API.SD.Section.OfTickets[1001] = new tHdSection { iHdSectionId = 7, sHdSection = "Development" };
        Alvao.API.SD.Section.OfTickets[1002] = new tHdSection { iHdSectionId = 8, sHdSection = "Payroll" };
        var columns = Alvao.API.Common.Database.Columns;
        Print("no work item", 1001);
        columns["tHdTicketCust.ExternalTicketId/1001"] = " #42 ";
        Print("plain", 1001);
        columns["tHdTicketCust.ExternalTicketId/1002"] = "42";
        Print("of another service", 1002);
        columns["tHdTicketCust.ExternalTicketId/1003"] = "42";
        Print("without service", 1003);
        columns["tHdTicketCust.ExternalTicketId/1001"] = "JIRA-12";
        Print("no number", 1001);
        columns["tHdTicketCust.ExternalTicketId/1001"] = "42";
        Setting("TandemShowCommand0", "false");
        Print("switched off", 1001);
        Setting("TandemShowCommand0", null);
        Setting("TandemConnectorField", "ConnectorSettings");
        foreach (var pasted in new[]
        {
            "", "{", "{\"URL\": \"https://dev.azure.com/o/p/\"}", "{\"URL\": \"javascript:alert(1)\"}",
            "{\"DisplayOpenExternalCommand\": false}", "{\"ShowOpenExternalTicketCommand\": \"false\"}",
            "{\"DisplayOpenExternalCommand\": false, \"ShowOpenExternalTicketCommand\": true}",
            "{\"ShowOpenExternalTicketCommand\": false, \"DisplayOpenExternalCommand\": true}", "{\"ShowOpenExternalTicketCommand\": 5}"
        })
        {
            columns["tHdSectionCust.ConnectorSettings/7"] = pasted;
            Print("pasted " + pasted, 1001);
        }
        Alvao.API.Common.Database.Broken = true;
        Print("broken", 1001);
    }

    private static void Setting(string name, string value)
    {
        if (value == null)
            Store.Properties.Remove(name);
        else
            Store.Properties[name] = value;
        SettingsCache.Clear();
    }

    private static void Print(string what, int ticket)
    {
        var command = new OpenWorkItem();
        var run = command.Run(ticket, Solver);
        Console.WriteLine(what + ": " + command.Show(ticket, Solver).Show + " " + run.MessageType + " " + run.NavigateToUrl);
    }

    private static void Notice()
    {
        Alvao.API.Common.DbProperty.WebAppUrl = "https://contoso.onalvao.com/Alvao";
        Alvao.API.Common.DbProperty.AlvaoStandardSenderAddress = "alvao@contoso.com";
        const string copied = "Copied from Azure DevOps · TANDEM-W12-C5-ZMEYSY";
        Func<string, object[]> about = text => new object[] { text, "", 1001, "T1001SD", "Printer\r\n is on fire", Solver, "sol@contoso.com", "" };
        Store.Notices[1] = about("use water\n" + copied);
        Store.Notices[2] = about("use water");
        Store.Notices[3] = about("edited\nCopied from Azure DevOps · TANDEM-W12-C5-V2-ZMEYSY");
        Store.Notices[4] = about("of ours\nCopied from Azure DevOps · TANDEM-W12-N1-ZMEYSY");
        Store.Notices[5] = about(new string('x', 5000) + copied);
        var con = Open();
        var trans = new SqlTransaction(con);
        Setting("TandemUrl", null); // nothing is posted meanwhile
        foreach (var how in new[] { null, "email", "teams, email" })
        {
            Setting("TandemNotify", how);
            foreach (var act in new[] { 1, 2, 3, 4, 99 })
                SolverNotice.Consider(con, trans, act, Account);
            SolverNotice.Consider(con, trans, 1, Requester);
            SolverNotice.Consider(con, trans, 1, 0);
            Report(how);
        }
        SolverNotice.Consider(con, trans, 5, Account);
        Console.WriteLine("longest " + Alvao.API.SD.TeamsNotification.Sent[0].Length);
        Report(null, true);
        Alvao.API.SD.TeamsNotification.Broken = true;
        SolverNotice.Consider(con, trans, 1, Account);
        Alvao.API.SD.TeamsNotification.Broken = false;
        SolverNotice.Consider(con, trans, 1, Account);
        Report("after a failure");
    }

    private static void Report(string how, bool quiet = false)
    {
        foreach (var one in Alvao.API.SD.TeamsNotification.Sent.Select(s => "teams: " + s)
            .Concat(Alvao.API.Common.Email.Queued.Select(s => "email: " + s)))
            if (!quiet)
                Console.WriteLine((how ?? "none") + " " + one.Replace("\r", "\\r").Replace("\n", "\\n"));
        Alvao.API.SD.TeamsNotification.Sent.Clear();
        Alvao.API.Common.Email.Queued.Clear();
    }
}
