using System;
using System.Data;
using System.Globalization;
using Alvao.API.Common.Model.CustomApps;
using Alvao.Apps.API;
using Alvao.Context;
using Newtonsoft.Json.Linq;

namespace Tandem
{
    /// <summary>The command "Open related Azure DevOps work item" on tickets that have one.</summary>
    public class OpenWorkItem : IEntityCommand
    {
        public string Id { get; set; }
        public Entity Entity { get; set; }

        public OpenWorkItem()
        {
            Id = "TandemOpenWorkItem";
            Entity = Entity.Request;
        }

        public EntityCommandShowResult Show(int entityId, int personId)
        {
            const int last = 2;
            const string icon = "open_20_regular";
            var name = "Open related Azure DevOps work item";
            try
            {
                var settings = Read();
                name = settings.CommandName;
                return new EntityCommandShowResult(Address(settings, entityId) != null, name, icon, last);
            }
            catch (Exception e)
            {
                // A ticket without the command is better than no ticket.
                Log.Problem("show", "it can't be told whether a ticket has a work item.", e);
                return new EntityCommandShowResult(false, name, icon, last);
            }
        }

        public CommandResult Run(int entityId, int personId)
        {
            try
            {
                var address = Address(Read(), entityId);
                if (address != null)
                    return new CommandResult(MessageType.None, "", address);
            }
            catch (Exception e)
            {
                Log.Problem("open", "the work item of a ticket can't be found.", e);
            }
            return new CommandResult(MessageType.Error, "This ticket has no work item in Azure DevOps that can be opened.", "");
        }

        private static Settings Read()
        {
            using (var scope = AlvaoContext.GetConnectionScope())
                return SettingsCache.Get(scope.Connection, scope.Transaction, 5, false);
        }

        /// <summary>Where the ticket's work item is; null: it has none, or the command is switched off.</summary>
        public static string Address(Settings settings, int ticketId)
        {
            var number = (Alvao.API.Common.Database.ReadColumn(ticketId, "tHdTicketCust", settings.ExternalIdField) ?? "").Trim().TrimStart('#');
            long id;
            if (!long.TryParse(number, NumberStyles.None, CultureInfo.InvariantCulture, out id) || id <= 0)
                return null;
            var service = Alvao.API.SD.Section.GetByTicketId(ticketId);
            if (service == null)
                return null;
            var connector = settings.Connectors.Find(c => c.Covers(service.iHdSectionId, service.sHdSection));
            if (connector == null)
                return null;
            var project = connector.Project;
            var show = connector.ShowCommand;
            if (settings.ConnectorField.Length > 0)
                Pasted(Alvao.API.Common.CustomColumn.GetValue(
                    "tHdSectionCust", settings.ConnectorField, service.iHdSectionId, CultureInfo.InvariantCulture, "UTC"), ref project, ref show);
            Uri address;
            if (!show || !Uri.TryCreate(project, UriKind.Absolute, out address) || (address.Scheme != "https" && address.Scheme != "http"))
                return null;
            return project.TrimEnd('/') + "/_workitems/edit/" + id.ToString(CultureInfo.InvariantCulture);
        }

        /// <summary>
        /// Takes URL and the command's switch out of the service's Connector Settings. The manual
        /// names the switch in two ways; ShowOpenExternalTicketCommand, its legend's, wins.
        /// </summary>
        public static void Pasted(string json, ref string project, ref bool show)
        {
            if (string.IsNullOrWhiteSpace(json))
                return;
            JObject pasted;
            try
            {
                pasted = JObject.Parse(json);
            }
            catch (Newtonsoft.Json.JsonException)
            {
                return; // Tandem's own configuration is checked elsewhere; here TandemProject counts
            }
            JToken value;
            if (pasted.TryGetValue("URL", StringComparison.OrdinalIgnoreCase, out value) && value.Type == JTokenType.String)
                project = value.ToString().Trim().TrimEnd('/');
            foreach (var name in new[] { "DisplayOpenExternalCommand", "ShowOpenExternalTicketCommand" })
            {
                bool told;
                if (pasted.TryGetValue(name, StringComparison.OrdinalIgnoreCase, out value) && bool.TryParse(value.ToString().Trim(), out told))
                    show = told;
            }
        }
    }
}
