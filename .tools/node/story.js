// Microsoft's own client of Azure DevOps works against the stand-in and reads back what it wrote.
//   node story.js ORGANISATION-URL PROJECT HOOK-URL      the access token is in TANDEM_TOKEN
// Ends with 0 and one line of JSON for the test that started it; anything unexpected ends it with an AssertionError.
'use strict';

const assert = require('node:assert/strict');
const { Readable } = require('node:stream');
const azdev = require('azure-devops-node-api');
const wit = require('azure-devops-node-api/interfaces/WorkItemTrackingInterfaces');

const [organisation, project, hook] = process.argv.slice(2);
const done = [];

// rejects gives the error with which a call is refused.
async function rejects(call) {
  try {
    await call;
  } catch (err) {
    return err;
  }
  return assert.fail('the call was not refused');
}

async function text(stream) {
  const parts = [];
  for await (const part of stream) parts.push(part);
  return Buffer.concat(parts).toString('utf8');
}

async function main() {
  const handler = azdev.getPersonalAccessTokenHandler(process.env.TANDEM_TOKEN);
  const connection = new azdev.WebApi(organisation, handler, { allowRetries: false, socketTimeout: 20000 });
  const me = (await connection.connect()).authenticatedUser;
  assert.match(me.id, /^[0-9a-f-]{36}$/);

  const core = await connection.getCoreApi();
  const team = await core.getProject(project);
  assert.equal(team.name, project);
  assert.ok((await core.getProjects()).some((p) => p.id === team.id));
  done.push('connect');

  const items = await connection.getWorkItemTrackingApi();

  // What can be created.
  const type = await items.getWorkItemType(project, 'Task');
  assert.equal(type.name, 'Task');
  assert.ok(type.transitions['To Do'].some((t) => t.to === 'Doing'));
  const states = await items.getWorkItemTypeStates(project, 'Task');
  assert.deepEqual(states.map((s) => [s.name, s.category]), [['To Do', 'Proposed'], ['Doing', 'InProgress'], ['Done', 'Completed']]);
  assert.ok((await items.getWorkItemTypes(project)).length >= 3);
  const field = await items.getField('System.Title');
  assert.equal(field.type, wit.FieldType.String);
  assert.ok((await items.getFields(project)).some((f) => f.referenceName === 'System.State'));
  assert.ok((await items.getWorkItemTypeFieldsWithReferences(project, 'Task', wit.WorkItemTypeFieldsExpandLevel.All)).some((f) => f.referenceName === 'System.Title' && f.alwaysRequired));
  assert.ok((await items.getRelationTypes()).some((r) => r.referenceName === 'AttachedFile'));
  done.push('describe');

  // Create.
  const title = 'Žluťoučký kůň & <b>co</b>';
  const made = await items.createWorkItem({}, [
    { op: 'add', path: '/fields/System.Title', value: title },
    { op: 'add', path: '/fields/System.Description', value: '<p>a &lt; b</p>' },
    { op: 'add', path: '/fields/System.Tags', value: 'alvao; ALVAO-1' },
    { op: 'add', path: '/relations/-', value: { rel: 'Hyperlink', url: 'https://alvao.example/Alvao/Ticket/1', attributes: { comment: 'T1' } } },
  ], project, 'Task', false, false, false, wit.WorkItemExpand.Relations);
  assert.equal(made.rev, 1);
  assert.equal(made.fields['System.Title'], title);
  assert.equal(made.fields['System.State'], 'To Do');
  assert.equal(made.fields['System.CreatedBy'].id, me.id);
  assert.equal(made.relations.length, 1);
  const rejected = await rejects(items.createWorkItem({}, [{ op: 'add', path: '/fields/System.Description', value: 'x' }], project, 'Task'));
  assert.equal(rejected.statusCode, 400);
  assert.match(rejected.message, /TF401320/);
  // The client gives null for whatever is answered with 404.
  assert.equal(await items.createWorkItem({}, [{ op: 'add', path: '/fields/System.Title', value: 'x' }], 'Nowhere', 'Task'), null);
  done.push('create');

  // Patch, with the guard of its revision.
  const doing = await items.updateWorkItem({}, [
    { op: 'test', path: '/rev', value: 1 },
    { op: 'add', path: '/fields/System.State', value: 'Doing' },
    { op: 'add', path: '/fields/Microsoft.VSTS.Common.Priority', value: 1 },
  ], made.id, project);
  assert.deepEqual([doing.rev, doing.fields['System.State'], doing.fields['Microsoft.VSTS.Common.Priority']], [2, 'Doing', 1]);
  const stale = await rejects(items.updateWorkItem({}, [
    { op: 'test', path: '/rev', value: 1 },
    { op: 'add', path: '/fields/System.State', value: 'Done' },
  ], made.id, project));
  assert.equal(stale.statusCode, 412);
  const would = await items.updateWorkItem({}, [{ op: 'add', path: '/fields/System.State', value: 'Done' }], made.id, project, true);
  assert.equal(would.fields['System.State'], 'Done');
  const read = await items.getWorkItem(made.id, undefined, undefined, wit.WorkItemExpand.All);
  assert.deepEqual([read.rev, read.fields['System.State'], read.fields['System.Description']], [2, 'Doing', '<p>a &lt; b</p>']);
  assert.deepEqual(read.relations.map((r) => [r.rel, r.url, r.attributes.comment]), [['Hyperlink', 'https://alvao.example/Alvao/Ticket/1', 'T1']]);
  assert.equal(await items.getWorkItem(99999), null);
  done.push('patch');

  // Query, then read in one call.
  const query = "SELECT [System.Id] FROM WorkItems WHERE [System.TeamProject] = @project AND [System.Tags] CONTAINS 'ALVAO-1'";
  const found = await items.queryByWiql({ query }, { project }, true, 50);
  assert.equal(found.queryResultType, wit.QueryResultType.WorkItem);
  assert.ok(found.asOf instanceof Date && !Number.isNaN(found.asOf.getTime()));
  assert.deepEqual(found.workItems.map((w) => w.id), [made.id]);
  const batch = await items.getWorkItemsBatch({ ids: [made.id, 99999], fields: ['System.Title', 'System.State'], errorPolicy: wit.WorkItemErrorPolicy.Omit });
  assert.deepEqual(batch.filter(Boolean).map((w) => [w.id, w.fields['System.Title'], w.fields['System.State']]), [[made.id, title, 'Doing']]);
  const listed = await items.getWorkItems([made.id], ['System.Rev']);
  assert.equal(listed[0].fields['System.Rev'], 2);
  assert.equal((await rejects(items.queryByWiql({ query: 'SELECT nonsense' }, { project }))).statusCode, 400);
  done.push('query');

  // Comments.
  const first = await items.addComment({ text: 'first &amp; <b>bold</b>' }, project, made.id);
  assert.equal(first.createdBy.id, me.id);
  assert.ok(first.createdDate instanceof Date);
  const second = await items.addComment({ text: 'second' }, project, made.id);
  const edited = await items.updateComment({ text: 'second, edited' }, project, made.id, second.id);
  assert.equal(edited.version, 2);
  const third = await items.addComment({ text: 'third' }, project, made.id);
  await items.deleteComment(project, made.id, third.id);
  const page = await items.getComments(project, made.id, 1, undefined, true, wit.CommentExpandOptions.All, wit.CommentSortOrder.Asc);
  assert.equal(page.comments.length, 1);
  const seen = [...page.comments];
  for (let token = page.continuationToken; token;) {
    const next = await items.getComments(project, made.id, 1, token, true, wit.CommentExpandOptions.None, wit.CommentSortOrder.Asc);
    seen.push(...next.comments);
    token = next.continuationToken;
  }
  assert.deepEqual(seen.map((c) => [c.id, Boolean(c.isDeleted)]), [[first.id, false], [second.id, false], [third.id, true]]);
  assert.equal(seen[0].text, 'first &amp; <b>bold</b>');
  assert.equal((await items.getComment(project, made.id, second.id)).text, 'second, edited');
  assert.deepEqual((await items.getCommentVersions(project, made.id, second.id)).map((v) => v.version).sort(), [1, 2]);
  done.push('comment');

  // Attachments.
  const content = 'obsah: ěščř\n'.repeat(100);
  const uploaded = await items.createAttachment({}, Readable.from([Buffer.from(content)]), 'zpráva 1.txt', 'simple', project);
  assert.match(uploaded.id, /^[0-9a-f-]{36}$/);
  const attached = await items.updateWorkItem({}, [
    { op: 'add', path: '/relations/-', value: { rel: 'AttachedFile', url: uploaded.url, attributes: { comment: 'from Node' } } },
  ], made.id, project, false, false, false, wit.WorkItemExpand.Relations);
  const relation = attached.relations.find((r) => r.rel === 'AttachedFile');
  assert.equal(relation.attributes.name, 'zpráva 1.txt');
  assert.ok(relation.url.includes(uploaded.id));
  assert.equal(await text(await items.getAttachmentContent(uploaded.id, 'zpráva 1.txt', project, true)), content);
  done.push('attach');

  // History.
  const updates = await items.getUpdates(made.id);
  assert.equal(updates[1].fields['System.State'].newValue, 'Doing');
  const revisions = await items.getRevisions(made.id, undefined, undefined, wit.WorkItemExpand.Fields);
  assert.deepEqual(revisions.slice(0, 2).map((r) => r.fields['System.State']), ['To Do', 'Doing']);
  assert.equal((await items.getRevision(made.id, 1)).rev, 1);
  const reported = await items.readReportingRevisionsGet(project, ['System.Id', 'System.State']);
  assert.ok(reported.values.some((r) => r.id === made.id && r.rev === 2));
  assert.equal(typeof reported.isLastBatch, 'boolean');
  done.push('history');

  // Delete and restore.
  await items.deleteWorkItem(made.id, project);
  assert.equal(await items.getWorkItem(made.id), null);
  assert.equal((await items.getDeletedWorkItem(made.id, project)).id, made.id);
  await items.restoreWorkItem({ isDeleted: false }, made.id, project);
  assert.equal((await items.getWorkItem(made.id)).id, made.id);
  done.push('delete and restore');

  // Service hooks. The client has no class for them, so its own plumbing is used.
  const hooks = async (method, locationId, route, body) => {
    const where = await connection.vsoClient.getVersioningData('7.1', 'hooks', locationId, route);
    const options = items.createRequestOptions('application/json', where.apiVersion);
    const answer = body === undefined ? await connection.rest[method](where.requestUrl, options) : await connection.rest[method](where.requestUrl, body, options);
    return answer.result;
  };
  const subscriptions = 'fc50d02a-849f-41fb-8af1-0a5216103269';
  const wanted = {
    publisherId: 'tfs', eventType: 'workitem.updated', resourceVersion: '1.0', consumerId: 'webHooks', consumerActionId: 'httpRequest',
    publisherInputs: { projectId: team.id, areaPath: '', workItemType: '' },
    consumerInputs: { url: hook, basicAuthUsername: 'tandem', basicAuthPassword: 'hook-password', resourceDetailsToSend: 'all', messagesToSend: 'none', detailedMessagesToSend: 'none' },
  };
  const subscribed = await hooks('create', subscriptions, {}, wanted);
  assert.equal(subscribed.status, 'enabled');
  assert.equal(subscribed.consumerInputs.basicAuthPassword, '********');
  const kept = await hooks('get', subscriptions, { subscriptionId: subscribed.id });
  assert.deepEqual([kept.id, kept.eventType, kept.consumerInputs.url, kept.publisherInputs.projectId], [subscribed.id, 'workitem.updated', hook, team.id]);
  const changed = await hooks('replace', subscriptions, { subscriptionId: subscribed.id }, { ...wanted, eventType: 'workitem.commented' });
  assert.deepEqual([changed.id, changed.eventType], [subscribed.id, 'workitem.commented']);
  const all = await hooks('get', subscriptions, {});
  assert.deepEqual(all.value.map((s) => [s.id, s.eventType]), [[subscribed.id, 'workitem.commented']]);
  const told = await items.addComment({ text: 'told to the hook' }, project, made.id);
  done.push('subscribe');

  return { id: made.id, state: 'Doing', comments: [first.id, second.id, told.id], attachment: uploaded.id, subscription: subscribed.id, done };
}

main().then(
  (result) => process.stdout.write(JSON.stringify(result) + '\n'),
  (err) => {
    process.stderr.write(`after ${done.join(', ')}: ${err.stack || err}\n`);
    process.exitCode = 1;
  },
);
