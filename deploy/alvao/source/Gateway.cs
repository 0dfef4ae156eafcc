using System;
using System.Collections.Generic;
using System.Globalization;
using System.Net.Http;
using System.Net.Http.Headers;
using System.Security.Cryptography;
using System.Text;
using System.Threading.Tasks;
using Newtonsoft.Json;

namespace Tandem
{
    public enum Answer
    {
        /// <summary>Stored, or stored before.</summary>
        Taken,
        /// <summary>It may be taken later.</summary>
        Later,
        /// <summary>It will never be taken as it is.</summary>
        Refused
    }

    /// <summary>Posts signed hints to Tandem's gateway. The format is told in README.md.</summary>
    public static class Gateway
    {
        /// <summary>How long one post may take, the connection included.</summary>
        public static readonly TimeSpan Timeout = TimeSpan.FromSeconds(5);

        // One for the process, as Microsoft advises. Redirects are not followed: what is signed
        // for one address is for nobody else.
        private static readonly HttpClient Client = new HttpClient(
            new HttpClientHandler { AllowAutoRedirect = false, UseCookies = false }) { Timeout = Timeout };

        private static readonly DateTime Epoch = new DateTime(1970, 1, 1, 0, 0, 0, DateTimeKind.Utc);

        private static readonly string[] Kinds =
        {
            "", "Email", "PhoneCall", "Meeting", "Letter", "VoiceMessage", "PaperNote", "Form", "Note", "Process", "Other", "Notification"
        };

        /// <summary>HMAC-SHA256 over timestamp, a full stop and body, as 64 lower-case hex digits. The key is the text that it is.</summary>
        public static string Sign(string key, string timestamp, byte[] body)
        {
            using (var mac = new HMACSHA256(Encoding.UTF8.GetBytes(key)))
            {
                var head = Encoding.ASCII.GetBytes(timestamp + ".");
                mac.TransformBlock(head, 0, head.Length, null, 0);
                mac.TransformFinalBlock(body, 0, body.Length);
                var hex = new StringBuilder(64);
                foreach (var b in mac.Hash)
                    hex.Append(b.ToString("x2", CultureInfo.InvariantCulture));
                return hex.ToString();
            }
        }

        public static string Timestamp(DateTime utc)
        {
            return ((long)(utc - Epoch).TotalSeconds).ToString(CultureInfo.InvariantCulture);
        }

        private static string Time(DateTime utc)
        {
            return utc.ToString("yyyy-MM-dd'T'HH:mm:ss.fffffff'Z'", CultureInfo.InvariantCulture);
        }

        /// <summary>The body of a hint. A nonce makes two of one second differ, because a signature is good only once.</summary>
        public static byte[] Body(Hint hint, RecordFacts record, Settings settings)
        {
            var body = new Dictionary<string, object>
            {
                { "event", hint.Event },
                { "nonce", Guid.NewGuid().ToString("N") },
                { "ticketId", record == null ? hint.TicketId : record.TicketId },
                { "personId", hint.PersonId }
            };
            if (hint.ActId != 0)
                body["actId"] = hint.ActId;
            if (!string.IsNullOrEmpty(hint.Properties))
                body["properties"] = Database.Cut(hint.Properties, 4096);
            if (record != null)
                body["record"] = Record(hint, record, settings);
            return new UTF8Encoding(false).GetBytes(JsonConvert.SerializeObject(body, Formatting.None));
        }

        /// <summary>The body that says that all records of late were told again and taken.</summary>
        public static byte[] RoundBody(TimeSpan took)
        {
            var body = new Dictionary<string, object>
            {
                { "event", "round.finished" },
                { "nonce", Guid.NewGuid().ToString("N") },
                { "round", new Dictionary<string, object> { { "tookMs", (long)Math.Max(0, took.TotalMilliseconds) } } }
            };
            return new UTF8Encoding(false).GetBytes(JsonConvert.SerializeObject(body, Formatting.None));
        }

        private static Dictionary<string, object> Record(Hint hint, RecordFacts r, Settings settings)
        {
            var own = settings.AccountId != 0 && (hint.PersonId == settings.AccountId || (hint.Again && r.CreatedBy == settings.AccountId));
            var record = new Dictionary<string, object> { { "asOf", Time(r.AsOf) }, { "own", own }, { "again", hint.Again } };
            if (r.Removed)
            {
                record["removed"] = true;
                return record;
            }
            record["mark"] = r.Mark == 1 ? "important" : r.Mark == 2 ? "solution" : "";
            record["showToRequester"] = r.ShowToRequester;
            if (!settings.Content)
            {
                record["bare"] = true;
                return record;
            }
            record["cut"] = r.Cut;
            record["subject"] = r.Subject;
            record["contentHtml"] = r.Html;
            record["contentPlain"] = r.Plain;
            record["kind"] = r.Kind > 0 && r.Kind < Kinds.Length ? Kinds[r.Kind] : "Other";
            record["from"] = r.From;
            if (r.Created.HasValue)
                record["created"] = Time(r.Created.Value);
            var files = new List<object>();
            foreach (var f in r.Files)
            {
                var file = new Dictionary<string, object> { { "id", f.Id }, { "name", f.Name } };
                if (f.Size.HasValue)
                    file["size"] = f.Size.Value;
                if (!f.IsLink && settings.FileLink.Length > 0)
                    file["link"] = settings.FileLink.Replace("{id}", f.Id.ToString(CultureInfo.InvariantCulture));
                files.Add(file);
            }
            record["attachments"] = files;
            return record;
        }

        /// <summary>Posts a body, signed now. It throws nothing, and takes no longer than Timeout.</summary>
        public static Answer Post(Uri gateway, Connector connector, byte[] body)
        {
            try
            {
                var timestamp = Timestamp(DateTime.UtcNow);
                using (var request = new HttpRequestMessage(
                    HttpMethod.Post, new Uri(gateway, "hooks/alvao/" + Uri.EscapeDataString(connector.Name))))
                {
                    request.Headers.ExpectContinue = false;
                    request.Content = new ByteArrayContent(body);
                    request.Content.Headers.ContentType = new MediaTypeHeaderValue("application/json") { CharSet = "utf-8" };
                    request.Headers.Add("X-Tandem-Timestamp", timestamp);
                    request.Headers.Add("X-Tandem-Signature", Sign(connector.Key, timestamp, body));
                    // The answer's body is not read: whatever it is, it can't fill this process.
                    var sending = Client.SendAsync(request, HttpCompletionOption.ResponseHeadersRead);
                    if (!sending.Wait(Timeout + Timeout))
                        return Answer.Later;
                    using (var response = sending.Result)
                    {
                        var status = (int)response.StatusCode;
                        if (status >= 200 && status < 300)
                            return Answer.Taken;
                        Log.Problem("status " + connector.Name + status.ToString(CultureInfo.InvariantCulture),
                            "the gateway answered " + status.ToString(CultureInfo.InvariantCulture) + " for connector " + connector.Name
                            + (status == 401 ? "; compare the key with what 'synccore hooks' prints, and the clocks." : "."), null);
                        return status == 408 || status == 429 || status >= 500 ? Answer.Later : Answer.Refused;
                    }
                }
            }
            catch (Exception e)
            {
                var cause = e is AggregateException && e.InnerException != null ? e.InnerException : e;
                Log.Problem("unreachable", "the gateway can't be reached; what happens is told again later.", cause);
                return Answer.Later;
            }
        }
    }
}
