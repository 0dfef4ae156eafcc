// Microsoft.Data.SqlClient as far as the application uses it, over tables in memory. Only
// the statements that the application sends are understood, each told by the table that
// it reads. A row that a running transaction holds makes a reader wait, and time out.
using System;
using System.Collections.Generic;
using System.Data;
using System.Data.Common;
using System.Linq;
using System.Text.RegularExpressions;
using System.Threading;

namespace Microsoft.Data.SqlClient
{
    public sealed class Store
    {
        public readonly object Lock = new object();
        public readonly Dictionary<string, string> Properties = new Dictionary<string, string>();
        /// <summary>By login.</summary>
        public readonly Dictionary<string, int> Persons = new Dictionary<string, int>();
        /// <summary>The columns of the statement about a ticket, by number.</summary>
        public readonly Dictionary<int, object[]> Tickets = new Dictionary<int, object[]>();
        /// <summary>The columns of the statement about a record, by number.</summary>
        public readonly Dictionary<int, object[]> Acts = new Dictionary<int, object[]>();
        public readonly Dictionary<int, List<object[]>> Documents = new Dictionary<int, List<object[]>>();
        /// <summary>The columns of the statement about a comment's solver, by record.</summary>
        public readonly Dictionary<int, object[]> Notices = new Dictionary<int, object[]>();
        /// <summary>Records that a running transaction has written.</summary>
        public readonly HashSet<int> Held = new HashSet<int>();
        public bool Away;
        /// <summary>The record that can't be read; 0: none.</summary>
        public int Broken;
        /// <summary>Reading tProperty fails.</summary>
        public bool NoSettings;
        public int Opened, InTransaction;
        public DateTime Now = new DateTime(2026, 3, 2, 8, 0, 0, DateTimeKind.Unspecified);
    }

    public sealed class SqlConnection : DbConnection, ICloneable
    {
        public readonly Store Store;
        private ConnectionState state = ConnectionState.Closed;

        public SqlConnection(Store store) { Store = store; }

        object ICloneable.Clone() { return new SqlConnection(Store); }

        public override string ConnectionString { get { return "Data Source=stub"; } set { } }
        public override string Database { get { return "Alvao"; } }
        public override string DataSource { get { return "stub"; } }
        public override string ServerVersion { get { return "16"; } }
        public override ConnectionState State { get { return state; } }
        public override void ChangeDatabase(string databaseName) { throw new NotSupportedException(); }
        public override void Close() { state = ConnectionState.Closed; }
        public override void Open()
        {
            if (Store.Away)
                throw new DataException("the server is away");
            lock (Store.Lock)
                Store.Opened++;
            state = ConnectionState.Open;
        }
        protected override DbTransaction BeginDbTransaction(IsolationLevel level) { return new SqlTransaction(this).Inner; }
        protected override DbCommand CreateDbCommand() { return new Command(this); }
        public new SqlCommand CreateCommand() { return new SqlCommand(this); }
    }

    /// <summary>Handed to callbacks; the real one derives from DbTransaction.</summary>
    public sealed class SqlTransaction : DbTransaction
    {
        private readonly SqlConnection con;

        public SqlTransaction(SqlConnection con) { this.con = con; }

        internal DbTransaction Inner { get { return this; } }
        protected override DbConnection DbConnection { get { return con; } }
        public override IsolationLevel IsolationLevel { get { return IsolationLevel.ReadCommitted; } }
        public override void Commit() { }
        public override void Rollback() { }
    }

    public sealed class SqlCommand : Command
    {
        public SqlCommand(SqlConnection con) : base(con) { }
    }

    public class Command : DbCommand
    {
        private readonly SqlConnection con;
        private readonly Parameters parameters = new Parameters();

        public Command(SqlConnection con) { this.con = con; }

        public override string CommandText { get; set; }
        public override int CommandTimeout { get; set; }
        public override CommandType CommandType { get; set; }
        public override bool DesignTimeVisible { get; set; }
        public override UpdateRowSource UpdatedRowSource { get; set; }
        protected override DbConnection DbConnection { get { return con; } set { } }
        protected override DbParameterCollection DbParameterCollection { get { return parameters; } }
        protected override DbTransaction DbTransaction { get; set; }
        public override void Cancel() { }
        public override void Prepare() { }
        protected override DbParameter CreateDbParameter() { return new Parameter(); }
        public override int ExecuteNonQuery() { throw new NotSupportedException(); }

        public override object ExecuteScalar()
        {
            using (var rows = ExecuteReader())
                return rows.Read() ? rows.GetValue(0) : null;
        }

        protected override DbDataReader ExecuteDbDataReader(CommandBehavior behavior)
        {
            if (con.State != ConnectionState.Open)
                throw new InvalidOperationException("the connection is closed");
            var store = con.Store;
            if (Transaction != null)
                lock (store.Lock)
                    store.InTransaction++;
            var by = parameters.List.Count == 0 ? null : parameters.List[0].Value;
            if (CommandText.Contains("FROM tProperty") && store.NoSettings)
                throw new DataException("no right to read tProperty");
            if (CommandText.Contains("FROM tProperty"))
                return Read(Table(2, store.Properties.Select(p => new object[] { p.Key, p.Value })));
            if (CommandText.Contains("FROM tPerson"))
                return Read(Table(1, store.Persons.Where(p => p.Key == (string)by).Select(p => new object[] { p.Value })));
            if (CommandText.Contains("a.Modified >="))
                return Read(Table(1, store.Acts.Keys.Where(id => id < (int)by).OrderByDescending(id => id)
                    .Take(int.Parse(Regex.Match(CommandText, @"TOP \((\d+)\)").Groups[1].Value)).Select(id => new object[] { id })));
            var number = Convert.ToInt32(by);
            if (CommandText.Contains("JOIN tPerson p ON p.iPersonId = t.liHdTicketSolverPersonId"))
                return Read(Table(8, Of(store.Notices, number)));
            if (CommandText.Contains("FROM tHdTicket t WITH (READCOMMITTEDLOCK)"))
            {
                Wait(store, number);
                lock (store.Lock)
                    return Read(Table(2, Of(store.Tickets, number)));
            }
            if (CommandText.Contains("FROM tAct a WITH (READCOMMITTEDLOCK)"))
            {
                if (number == store.Broken)
                    throw new DataException("the server is away");
                Wait(store, number);
                lock (store.Lock)
                {
                    store.Now = store.Now.AddTicks(12345);
                    List<object[]> files;
                    return Read(
                        Table(13, Of(store.Acts, number)),
                        Table(4, store.Documents.TryGetValue(number, out files) ? files : new List<object[]>()),
                        Table(1, new[] { new object[] { store.Now } }));
                }
            }
            throw new NotSupportedException("unknown statement: " + CommandText);
        }

        private static void Wait(Store store, int number)
        {
            lock (store.Lock)
                if (store.Held.Contains(number) && !Monitor.Wait(store.Lock, 300))
                    throw new DataException("Lock request time out period exceeded.");
            lock (store.Lock)
                if (store.Held.Contains(number))
                    throw new DataException("Lock request time out period exceeded.");
        }

        private static IEnumerable<object[]> Of(Dictionary<int, object[]> rows, int number)
        {
            object[] row;
            return rows.TryGetValue(number, out row) ? new[] { row } : new object[0][];
        }

        private static DataTable Table(int columns, IEnumerable<object[]> rows)
        {
            var table = new DataTable();
            for (var n = 0; n < columns; n++)
                table.Columns.Add("c" + n, typeof(object));
            foreach (var row in rows)
                table.Rows.Add(row.Select(v => v ?? DBNull.Value).ToArray());
            return table;
        }

        private static DbDataReader Read(params DataTable[] tables) { return new DataTableReader(tables); }
    }

    public sealed class Parameter : DbParameter
    {
        public override DbType DbType { get; set; }
        public override ParameterDirection Direction { get; set; }
        public override bool IsNullable { get; set; }
        public override string ParameterName { get; set; }
        public override int Size { get; set; }
        public override string SourceColumn { get; set; }
        public override bool SourceColumnNullMapping { get; set; }
        public override DataRowVersion SourceVersion { get; set; }
        public override object Value { get; set; }
        public override void ResetDbType() { }
    }

    public sealed class Parameters : DbParameterCollection
    {
        public readonly List<Parameter> List = new List<Parameter>();

        public override int Count { get { return List.Count; } }
        public override object SyncRoot { get { return List; } }
        public override bool IsFixedSize { get { return false; } }
        public override bool IsReadOnly { get { return false; } }
        public override bool IsSynchronized { get { return false; } }
        public override int Add(object value) { List.Add((Parameter)value); return List.Count - 1; }
        public override void AddRange(Array values) { throw new NotSupportedException(); }
        public override void Clear() { List.Clear(); }
        public override bool Contains(object value) { return List.Contains((Parameter)value); }
        public override bool Contains(string value) { throw new NotSupportedException(); }
        public override void CopyTo(Array array, int index) { throw new NotSupportedException(); }
        public override System.Collections.IEnumerator GetEnumerator() { return List.GetEnumerator(); }
        public override int IndexOf(object value) { throw new NotSupportedException(); }
        public override int IndexOf(string parameterName) { throw new NotSupportedException(); }
        public override void Insert(int index, object value) { throw new NotSupportedException(); }
        public override void Remove(object value) { throw new NotSupportedException(); }
        public override void RemoveAt(int index) { throw new NotSupportedException(); }
        public override void RemoveAt(string parameterName) { throw new NotSupportedException(); }
        protected override DbParameter GetParameter(int index) { return List[index]; }
        protected override DbParameter GetParameter(string parameterName) { throw new NotSupportedException(); }
        protected override void SetParameter(int index, DbParameter value) { throw new NotSupportedException(); }
        protected override void SetParameter(string parameterName, DbParameter value) { throw new NotSupportedException(); }
    }
}
