using System;
using Alvao.Apps.API;
using Microsoft.Data.SqlClient;

namespace Tandem
{
    /// <summary>Tells Tandem of new, changed and deleted records, and solvers of comments that came from Azure DevOps.</summary>
    public class RecordChanges : IActAutoAction
    {
        public string Name { get; set; }

        public RecordChanges()
        {
            Name = "Tandem: records";
        }

        public void OnActCreated(SqlConnection con, SqlTransaction trans, int actId, int personId)
        {
            Outbox.Add(con, new Hint { Event = "act.created", ActId = actId, PersonId = personId });
            SolverNotice.Consider(con, trans, actId, personId);
        }

        public void OnActChanged(SqlConnection con, SqlTransaction trans, int actId, int personId, string properties)
        {
            Outbox.Add(con, new Hint { Event = "act.changed", ActId = actId, PersonId = personId, Properties = properties });
        }

        public void OnActRemoved(SqlConnection con, SqlTransaction trans, int actId, int personId)
        {
            Outbox.Add(con, new Hint { Event = "act.removed", ActId = actId, PersonId = personId });
        }
    }
}
