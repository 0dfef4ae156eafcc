package conformtest

import "github.com/tandem-sync/tandem/services/sandbox/deviationtest"

// Deviations are all that are known. One that matches nothing any more is to be taken out.
func Deviations() []deviationtest.Deviation {
	return []deviationtest.Deviation{
		// Where the documents contradict what the service does.
		{
			Name:     "a list comes in an envelope",
			Evidence: `§2.5 quotes {"count":5,"value":[…]} for states; so do the examples of relation types, fields and subscriptions, and every recorded list. The documents promise bare lists`,
			Pattern:  `.* \| answer \| body \| a list comes as count and value`,
		},
		{
			Name:     "values of any type",
			Evidence: `the documents say "object" where any value may stand (.NET's Object): fields, patch values, link attributes, defaults, identity descriptors. §2.2 and every recorded work item have texts and numbers there`,
			Pattern:  `.* \| (answer|request) \| body(/resource|/\*|/results/\*|/values/\*)*(/value|/descriptor|/defaultValue|/allowedValues/\*|/fields/[^/]+|/fields/[^/]+/(old|new)Value|(/relations(/added|/removed|/updated)?/\*)?/attributes/[^/]+) \| value must be an object`,
		},
		{
			Name:     "links stand directly below _links",
			Evidence: `§1.3–1.6 and every recorded work item; the documents put a key "links" between (.NET's ReferenceLinks)`,
			Pattern:  `.* \| answer \| body.*/_links \| property "(self|html|fields|parent|workItem[A-Za-z]+|avatar|consumer|publisher|notifications)" is unsupported`,
		},
		{
			Name:     "the format of long texts",
			Evidence: "§2.2: multilineFieldsFormat is in 38 recorded answers, at any version; no document has it",
			Pattern:  `.* \| answer \| body(/\*|/resource)? \| property "multilineFieldsFormat" is unsupported`,
		},
		{
			Name:     "identity properties are a bag",
			Evidence: `§3.1, 14 recordings and the example SearchIdentityByEmail: {"Account":{"$type","$value"}}; the document describes the .NET class instead`,
			Pattern:  `GET identities \| answer \| body/\*/properties \| property ".*" is unsupported`,
		},
		{
			Name:     "reported revisions are objects",
			Evidence: "§2.9 and the examples in workItemRevisions; the document says they are texts",
			Pattern:  `(GET|POST) wit/reporting/work[iI]tem[rR]evisions(/discussions)? \| answer \| body/values/\* \| value must be a string`,
		},
		{
			Name:     "probationRetries is a number",
			Evidence: `the example GET__hooks_subscriptions_ has 6; the document says a text of format "byte" (.NET's byte)`,
			Pattern:  `.*hooks/subscriptions.* \| answer \| body(/\*|/results/\*)?/probationRetries \| value must be a string`,
		},
		{
			Name:     "null where a field type has no default",
			Evidence: "the examples in workItemTypesField have defaultValue null",
			Pattern:  `GET wit/workitemtypes.* \| answer \| body(/\*)?(/fieldInstances/\*|/fields/\*)?/defaultValue \| Value is not nullable`,
		},
		{
			Name:     "null where a transition has no actions",
			Evidence: "§2.5 and the examples in workItemTypes",
			Pattern:  `GET wit/workitemtypes.* \| answer \| body(/\*)?/transitions/[^/]*/\*/actions \| Value is not nullable`,
		},
		{
			Name:     "null where a field has no description",
			Evidence: "the example POST_wit_field",
			Pattern:  `GET wit/fields.* \| answer \| body(/\*)?/description \| Value is not nullable`,
		},
		{
			Name:     "comments with commentId",
			Evidence: "§2.7: the examples of comments have commentId where the document has id; clients have to take either, so the stand-in can give either",
			Pattern:  `.*/comments.* \| answer \| body(/comments/\*)? \| property "commentId" is unsupported`,
		},
		{
			Name:     "an upload answers 201",
			Evidence: "§2.1: 201 in the examples of attachments, 200 in the document",
			Pattern:  `(POST wit/attachments|PUT wit/attachments/\{id\}) \| answer \| status \| 201, not 200`,
		},
		{
			Name:     "a removal answers 204",
			Evidence: "the examples DELETE__hooks_subscriptions__newSubscriptionId_ and DELETE__wit_recyclebin__id_ (§2.1); the documents say 200",
			Pattern:  `DELETE (hooks/subscriptions/\{subscriptionId\}|wit/recyclebin/\{id\}|wit/workItems/\{workItemId\}/comments/\{commentId\}) \| answer \| status \| 204, not 200`,
		},
		{
			Name:     "refusals",
			Evidence: "§2.10: the documents have answers of success only; the bodies of refusals are held against the shapes given there",
			Pattern:  `.* \| answer \| status \| refusals are not in the documents`,
		},
		{
			Name:     "a file shown in the browser has its own media type",
			Evidence: "modelled: §2.8 has inline images at this address, which browsers show; with download=true the type is the document's",
			Pattern:  `GET wit/attachments/\{id\} \| answer \| (body \| response header Content-Type has unexpected value: .*|header Content-Type \| .* is not in the document)`,
		},
		{
			Name:     "an omitted work item leaves null",
			Evidence: `modelled: with errorPolicy "omit" (§2.1) clients have to take a null and a missing element alike`,
			Pattern:  `(POST wit/workitemsbatch|GET wit/workitems) \| answer \| body/\* \| Value is not nullable`,
		},

		// Where requests depart from the documents.
		{
			Name:     "the path leaves out the project",
			Evidence: "§2.1: work items, fields, batch, attachments and relation types are reached at the organisation too; so do all recorded reads",
			Pattern:  `(GET|PATCH|POST) wit/(workitems|workitems/\{id\}|workitemsbatch|fields|attachments|attachments/\{id\}) \| request \| path \| the path leaves out the project`,
		},
		{
			Name:     "a query without a team",
			Evidence: "§2.1: POST /{project}/[{team}/]_apis/wit/wiql; recorded even without a project",
			Pattern:  `POST wit/wiql \| request \| path \| the path leaves out the team`,
		},
		{
			Name:     "calls of other documents",
			Evidence: "§2.1 and §3.1: connection data and projects belong to areas whose documents are not at hand; ConnectionData is recorded once, projects 22 times. Resource areas and OPTIONS are what Microsoft's clients begin with (§5)",
			Pattern:  `(GET (connectiondata|projects|projects/\{\}|resourceareas|resourceareas/\{\})|OPTIONS .*) \| request \| path \| no document has this call`,
		},
		{
			Name:     "api-versions of Azure DevOps Server",
			Evidence: "§3.4: 5.0, 6.0 and 7.0 for Server 2019, 2020 and 2022; comments are a preview there as well (§2.7)",
			Pattern:  `.* \| request \| query api-version \| (5\.0|6\.0|7\.0)(-preview)? is sent, not 7\.1(-preview\.4)?`,
		},
		{
			Name:     "an enumeration in another letter case",
			Evidence: "§3.1: queryMembership=None, as in the example SearchIdentityByEmail and 15 recordings; the document has none",
			Pattern:  `GET identities \| request \| query queryMembership \| value is not one of the allowed values .*`,
		},
		{
			Name:     "a chunked upload is announced without a body",
			Evidence: "§2.8 and the example POST_wit_attachments_filename_chunked_register",
			Pattern:  `POST wit/attachments \| request \| body \| value is required but missing`,
		},
		{
			Name:     "a chunk names its place in Content-Range",
			Evidence: "§2.8 and the example PUT_wit_attachments_filename_chunked_content1; contentRangeHeader is the name of .NET's parameter",
			Pattern:  `PUT wit/attachments/\{id\} \| request \| header contentRangeHeader \| value is required but missing`,
		},
		{
			Name:     "a chunk says that it is one",
			Evidence: "§2.8: PUT …/attachments/{id}?uploadType=chunked, as in the example",
			Pattern:  `PUT wit/attachments/\{id\} \| request \| query uploadType \| the parameter is not in the document`,
		},
	}
}
