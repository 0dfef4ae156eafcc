package e2e_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// trap is one way in which a vendor's system surprises an integration, and the tests
// that show that Tandem does not fall for it.
type trap struct {
	what string
	// tests are named folder.Test or folder.Test/case below services; a case is the text
	// by which the test names it.
	tests []string
}

const (
	inGateway  = "gateway/internal/"
	inCore     = "synccore/internal/"
	inBoards   = inCore + "azuredevops."
	inDesk     = inCore + "alvao."
	inRounds   = inCore + "reconcile."
	inSettings = inCore + "config."
	outside    = "synccore/e2e."
)

// azureDevOpsTraps are the items of azure-devops.md §8, in their order.
func azureDevOpsTraps() []trap {
	return []trap{
		{"the work item of workitem.updated is workItemId, not id", []string{inGateway + "azuredevops.TestRead/updated: the item is workItemId, not id", outside + "TestRecordedWebhooks"}},
		{"the event of the Test button does nothing, twice", []string{inGateway + "azuredevops.TestRead/Test: work item 0", inGateway + "webhook.TestFixtures", outside + "TestRecordedWebhooks"}},
		{"a notification told three times, and two in reverse order", []string{outside + "TestDuplicates", inRounds + "TestEventsInReverseOrder"}},
		{"one comment raises commented and updated", []string{inRounds + "TestCommentToldTwiceIsOneRecord"}},
		{"message null, a minimal resource, and none", []string{inGateway + "azuredevops.TestRead/updated, minimal resource with revision", inGateway + "azuredevops.TestRead/resource none: absent", inGateway + "webhook.TestIgnoredIsCounted"}},
		{"fields with one value, numbers as text, persons as text and object, DOMAIN\\user", []string{
			inGateway + "azuredevops.TestRead/fields with an old or a new value alone, with numbers as text, with a person as text and as object",
			inBoards + "TestLenientDecoding/identity as string, ids as strings, a BOM", inBoards + "TestFindIdentity/domain and user",
		}},
		{"a Server's containers, its collection's URL, and localised names", []string{inGateway + "azuredevops.TestRead/server instead of account", inBoards + "TestProjectURLForms", inRounds + "TestLocalisedProject"}},
		{"while Redis is away senders are answered 503 alone", []string{outside + "TestOutage", inGateway + "webhook.TestNeverSent", inGateway + "webhook.TestUnavailableIsRetried"}},
		{"no or wrong credentials are answered 401 and store nothing", []string{inGateway + "azuredevops.TestAuthenticate", outside + "TestHookDoor"}},
		{"203 and a sign-in page is a refused token", []string{inBoards + "TestErrorModel/203 sign-in page", inCore + "connector.TestRefusedToken/203 and a sign-in page"}},
		{"412 and 409 TF26071 are read anew, and not for ever", []string{inRounds + "TestConflictIsReadAnewAndBounded/412", inRounds + "TestConflictIsReadAnewAndBounded/409 TF26071"}},
		{"a relation that exists already is a success", []string{inBoards + "TestRelationExistsIsSuccess"}},
		{"TF401320 is told with its field and not repeated", []string{inBoards + "TestErrorModel/TF401320", inRounds + "TestRuleRefusalIsNotRepeated"}},
		{"a create that times out after the server accepted makes one item", []string{inRounds + "TestDeathAtEveryEffect", inBoards + "TestLostReply", outside + "TestKillWhileCreating"}},
		{"an unknown requester leaves the default reporter, and no raw name is stored", []string{inRounds + "TestReporterIsTheRequesterIfKnown", inRounds + "TestReporterByUserNameThenEMail", inBoards + "TestReporter", inBoards + "TestStrangersAreLeftOut"}},
		{"404 TF401232 is deleted or hidden", []string{inBoards + "TestGone", inRounds + "TestDeletedIsToldFromForbidden"}},
		{"Retry-After on a 200 is honoured", []string{inCore + "outbound.TestRetryAfterOnSuccess"}},
		{"comments with commentId only, and with id only", []string{inBoards + "TestComments/commentId", inBoards + "TestSpecExamples"}},
		{"a sign-in page in place of a file, and an image on a foreign host", []string{inBoards + "TestDownloadTrouble", inBoards + "TestForeignFiles", inCore + "outbound.TestCredentialStaysHome"}},
		{"a byte order mark, unknown keys, seven digits, and dates without zone", []string{inGateway + "webhook.TestFixtures", inBoards + "TestLenientDecoding/zone-less date of seven digits", inCore + "lenient.TestTime"}},
		{"texts read the same there and back", []string{inCore + "richtext.TestCorpus", inCore + "richtext.TestConversionKeepsWhatIsSaid"}},
		{"a subscription on probation or disabled makes the health degraded", []string{inCore + "connector.TestServiceHookOnProbationDegrades", inBoards + "TestCheckHooks"}},
	}
}

// furtherTraps are those of azure-devops.md §2, §7 and §10.
func furtherTraps() []trap {
	return []trap{
		{"only the first state is legal at creation (§2.5)", []string{inRounds + "TestMoveOverSeveralStates", inBoards + "TestWrongSettings/state at create"}},
		{"a field twice in one patch is refused (VS403691)", []string{inBoards + "TestCreate"}},
		{"adding a tag keeps the others (§2.2)", []string{inBoards + "TestAddMark", inBoards + "TestStory/tags replaced"}},
		{"values of every field type, picklists and tree paths (§2.2)", []string{inBoards + "TestFieldTypes", inBoards + "TestValidate/picklist", inBoards + "TestValidate/tree path"}},
		{"validateOnly writes nothing (§2.2)", []string{inBoards + "TestValidate", inCore + "connector.TestCheckRendersTheAttributeMap"}},
		{"batches of 200, and an id that fails the batch (§10)", []string{inBoards + "TestWorkItemsInBatches"}},
		{"the state's neighbours depend on type and project (§2.5)", []string{inBoards + "TestLegalPath"}},
		{"bodies of any type at any status (§2.10)", []string{inBoards + "TestErrorModel", inCore + "outbound.TestLooksHTML"}},
		{"files above the simple upload's limit go in pieces (§2.8)", []string{inBoards + "TestChunks", inBoards + "TestFiles/chunked"}},
		{"too large files and too many (§2.8)", []string{inBoards + "TestFileLimits", outside + "TestMemoryOfAttachments"}},
		{"an inactive identity may lack isActive (§10)", []string{inBoards + "TestFindIdentity/no isActive is inactive"}},
		{"own writes are not told by their author (§10)", []string{inRounds + "TestEchoOfOwnRevisionIsNotRead", inRounds + "TestMessagesCrossBothWaysOnce"}},
		{"the same file on both sides (§4)", []string{inRounds + "TestSameFileCrossesOnce/on both sides"}},
		{"without the right to look people up (§3.1)", []string{inBoards + "TestReporterWithoutRights", inRounds + "TestPeopleInFields/unknown, without looking"}},
		{"mentions and #123 notify nobody and link nowhere (§2.7)", []string{inCore + "richtext.TestCorpus", inRounds + "TestMarkdownWhereTheServerTakesIt"}},
		{"all comments are read, in pages, deleted ones too (§2.7)", []string{inBoards + "TestCommentPages", inBoards + "TestComments"}},
	}
}

// alvaoTraps are those of alvao.md, by section.
func alvaoTraps() []trap {
	return []trap{
		{"§1 the path of the REST API is the customer's", []string{inDesk + "TestTicketURLs", inDesk + "TestWebApplicationIsNoRoot"}},
		{"§1.1 rights of the account", []string{inDesk + "TestRights"}},
		{"§1.2 three bodies of errors", []string{inDesk + "TestErrorModel"}},
		{"§1.3 lists are cut short without a word", []string{inDesk + "TestPages/links, capped, no count", inDesk + "TestListChecksTheServer"}},
		{"§1.3 links of lists that name a host nobody reaches", []string{inDesk + "TestPages/links that name another host"}},
		{"§1.3 files above the request limit", []string{inDesk + "TestRecordRefused", inRounds + "TestFilesThatCantCrossAreNamed"}},
		{"§1.3 dates without offset", []string{inDesk + "TestTolerantDecoding/date without offset", outside + "TestTimeZone"}},
		{"§2.1 ids as numbers and as text", []string{inDesk + "TestTolerantDecoding/ids as strings"}},
		{"§2.1 lastActivityDate can't be filtered or sorted", []string{inDesk + "TestActiveSinceDegrades"}},
		{"§2.1 deleted by date or by status", []string{inDesk + "TestTolerantDecoding/removed by date", inDesk + "TestTolerantDecoding/removed by status"}},
		{"§2.2 custom fields in several forms, by column name", []string{inDesk + "TestTolerantDecoding/custom values as list", inDesk + "TestSetExternalID"}},
		{"§2.2 custom fields are absent in lists", []string{inCore + "plan.TestDoubtAboutOldTickets", inCore + "plan.TestDoubtMatchesTheNextRound"}},
		{"§2.3 names of statuses are localised and unique in a process only", []string{inDesk + "TestCzechTenant", inDesk + "TestSetStatusByID", inCore + "mapping.TestStatusMapLooksNamesUpAsPeopleWriteThem"}},
		{"§2.3 an approval holds the status", []string{inRounds + "TestApprovalIsWaitedFor", inRounds + "TestPeopleTalkWhileAnApprovalRuns"}},
		{"§2.3 required fields and permitted statuses", []string{inDesk + "TestSetStatus/required fields", inRounds + "TestRefusedStatusIsParkedAndTakenUpAgain"}},
		{"§2.3 a status moves on by itself", []string{inDesk + "TestSetStatus/passed on", inCore + "plan.TestStatusThatMovesOnByItselfIsNoNews"}},
		{"§2.3 201 and 204 say the same", []string{inDesk + "TestSetStatus/moved", inDesk + "TestSetStatus/moved, logged"}},
		{"§2.4 a record has no idempotency key", []string{inDesk + "TestLostRecord", inRounds + "TestLostAnswersAmongMessages", inRounds + "TestDeathAmongMessages"}},
		{"§2.4 records are internal by default", []string{inRounds + "TestMessagesCrossBothWaysOnce", inDesk + "TestAddRecordWire"}},
		{"§2.4 Process and Notification are noise", []string{inRounds + "TestSilentRecordsAndOldOnesStay"}},
		{"§2.4 the log can't be read", []string{inDesk + "TestLogThatCantBeRead", inRounds + "TestLogThatCantBeReadLeavesTheStateInStep"}},
		{"§2.4 the important mark may not be told", []string{inCore + "template.TestLatestImportantMessageFallsBack"}},
		{"§2.5 links of files lead anywhere", []string{inDesk + "TestDownloads/other host", inDesk + "TestDownloads/redirect", inDesk + "TestCredentialStaysHome"}},
		{"§2.5 links of files are relative", []string{inDesk + "TestDownloads/relative", inDesk + "TestDownloads/from the host"}},
		{"§2.5 sizes of files are not told", []string{inRounds + "TestUntoldSizes"}},
		{"§2.5 images are embedded", []string{inRounds + "TestInlineImagesCross"}},
		{"§2.5 lists of refused extensions", []string{inDesk + "TestRecordRefused", inRounds + "TestFilesThatCantCrossAreNamed"}},
		{"§2.6 persons who do not count", []string{inDesk + "TestFindPerson/disabled", inDesk + "TestFindPerson/guest", inDesk + "TestFindPerson/removed"}},
		{"§2.6 ambiguous persons are not guessed", []string{inDesk + "TestFindPerson/two", inBoards + "TestFindIdentity/two"}},
		{"§2.6 apostrophes in OData", []string{inDesk + "TestListQuery", inDesk + "TestFindPerson"}},
		{"§2.6 capitalised names of properties", []string{inDesk + "TestTolerantDecoding/capitalised keys", inDesk + "TestEveryTenant/capital keys"}},
		{"§3.1 webhooks tell a number and a person, unsigned", []string{inGateway + "alvao.TestWebhookRead", inGateway + "alvao.TestWebhookToken"}},
		{"§3.1 webhooks are lost without a word", []string{inCore + "connector.TestPollsFindWhatNobodyTold"}},
		{"§3.1 no webhook tells of messages", []string{inCore + "poll.TestActivityIsToldWhereMessagesCross"}},
		{"§3.2 the application's hints are signed and told once", []string{inGateway + "alvao.TestApplicationProof", inGateway + "alvao.TestReplay"}},
		{"§3.2 what is told is not visible yet", []string{inRounds + "TestStatusReadBeforeItIsVisible"}},
		{"§3.3 notes may leave the last activity alone", []string{inRounds + "TestNotesThatLeaveTheActivityAlone"}},
		{"§4 variables that do not exist or not here", []string{inSettings + "TestTrapUnknownVariablesAreRefusedByName", inCore + "template.TestProblems", inCore + "template.TestWholeListIsKnown"}},
		{"§4 values are no markup, markup is no title", []string{inCore + "template.TestPlainValuesNeverMakeMarkup", inCore + "template.TestLineIsOneLineOf255", inCore + "template.TestRichValuesPassTheBoundary"}},
		{"§5 two names of the open command", []string{inSettings + "TestTrapOpenCommandHasTwoNames"}},
		{"§5 AccessToken is a number or text", []string{inSettings + "TestTrapAccessTokenMayBeTextOrNumber"}},
		{"§5 AttributeMap may be text", []string{inSettings + "TestTrapAttributeMapMayBeText"}},
		{"§5 several states map to one status", []string{inSettings + "TestTrapSeveralStatesForOneStatus", inCore + "mapping.TestSeveralStatesForOneStatusKeepTheirOrder"}},
		{"§5 duplicate keys", []string{inSettings + "TestTrapDuplicateKeysAreRefusedByName"}},
		{"§5 escaped braces in the URL", []string{inSettings + "TestTrapEscapedBraces"}},
		{"§5 TicketReporter is one of three", []string{inSettings + "TestTrapReporter", inCore + "mapping.TestReporter"}},
		{"§5 the manual's hook and scopes are enough", []string{inBoards + "TestStory/rights of Alvao's manual", inCore + "app.TestTokenThatMayNotReadProjects", outside + "TestHookDoor"}},
		{"§5 a ticket may carry an external id already", []string{inCore + "plan.TestAdoptionByExternalID"}},
		{"§5 private authorities on premises", []string{inCore + "outbound.TestPrivateAuthority"}},
		{"§7 assumptions that fail are told by the check", []string{inDesk + "TestEveryTenant/all at once", inDesk + "TestCheckProbesAnew"}},
	}
}

// TestEveryTrapHasATest: the vendors' traps are listed with tests that exist.
func TestEveryTrapHasATest(t *testing.T) {
	t.Parallel()
	if n := len(azureDevOpsTraps()); n != 22 {
		t.Errorf("%d traps of azure-devops.md §8, want 22", n)
	}
	known := map[string]map[string]map[string]bool{} // by folder, test and text
	for _, list := range [][]trap{azureDevOpsTraps(), furtherTraps(), alvaoTraps()} {
		for _, one := range list {
			if len(one.tests) == 0 {
				t.Errorf("%s: no test", one.what)
			}
			for _, name := range one.tests {
				folder, rest, ok := strings.Cut(name, ".")
				test, text, _ := strings.Cut(rest, "/")
				if !ok {
					t.Errorf("%q names no test", name)
					continue
				}
				if known[folder] == nil {
					known[folder] = testsOf(t, filepath.Join("..", "..", filepath.FromSlash(folder)))
				}
				texts, exists := known[folder][test]
				switch {
				case !exists:
					t.Errorf("%s: there is no %s in services/%s", one.what, test, folder)
				case text != "" && !texts[text]:
					t.Errorf("%s: %s in services/%s has no case %q", one.what, test, folder, text)
				}
			}
		}
	}
}

// testsOf lists the tests of a folder with the texts that stand in them.
func testsOf(t *testing.T, folder string) map[string]map[string]bool {
	t.Helper()
	files, err := fs.Glob(os.DirFS(folder), "*_test.go")
	if err != nil || len(files) == 0 {
		t.Fatalf("%s holds no tests: %v", folder, err)
	}
	tests := map[string]map[string]bool{}
	for _, name := range files {
		file, err := parser.ParseFile(token.NewFileSet(), filepath.Join(folder, name), nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range file.Decls {
			function, ok := d.(*ast.FuncDecl)
			if !ok || function.Recv != nil || !strings.HasPrefix(function.Name.Name, "Test") {
				continue
			}
			texts := map[string]bool{}
			ast.Inspect(function, func(n ast.Node) bool {
				if literal, ok := n.(*ast.BasicLit); ok && literal.Kind == token.STRING {
					if text, err := strconv.Unquote(literal.Value); err == nil {
						texts[text] = true
					}
				}
				return true
			})
			tests[function.Name.Name] = texts
		}
	}
	return tests
}
