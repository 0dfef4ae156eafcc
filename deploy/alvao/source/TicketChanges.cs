using System;
using Alvao.Apps.API;
using Microsoft.Data.SqlClient;

namespace Tandem
{
    /// <summary>Tells Tandem of new and changed tickets.</summary>
    public class TicketChanges : ITicketAutoAction
    {
        public string Name { get; set; }

        public TicketChanges()
        {
            Name = "Tandem: tickets";
        }

        public void OnTicketCreated(SqlConnection con, SqlTransaction trans, int ticketId, int personId)
        {
            Outbox.Add(con, new Hint { Event = "ticket.created", TicketId = ticketId, PersonId = personId });
        }

        public void OnTicketChanged(SqlConnection con, SqlTransaction trans, int ticketId, int personId, string properties)
        {
            Outbox.Add(con, new Hint { Event = "ticket.changed", TicketId = ticketId, PersonId = personId, Properties = properties });
        }
    }
}
