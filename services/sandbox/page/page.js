'use strict';
// Items by side and id, as the server last said; cards are made once and then kept up to date, so that what somebody is
// typing is never lost.
const sides = {
  tickets: {items: new Map(), cards: new Map(), attr: 'ticket', state: 'status', label: 'Status', pen: 'Message'},
  'work-items': {items: new Map(), cards: new Map(), attr: 'work-item', state: 'state', label: 'State', pen: 'Comment'},
};
const asked = new Set(); // partners already fetched
const moved = new Map(); // side/id → {text, until}
const maxRows = 150, maxStory = 60, maxMessages = 6;
const $ = (sel, in_ = document) => in_.querySelector(sel);
const el = (tag, props = {}, ...kids) => {
  const e = Object.assign(document.createElement(tag), props);
  e.append(...kids);
  return e;
};
const clock = (at) => new Date(at).toLocaleTimeString();
const actor = () => $('#acting-as').value;

async function call(method, path, body) {
  const r = await fetch('/sandbox/api/' + path, {
    method, headers: body ? {'Content-Type': 'application/json'} : {}, body: body && JSON.stringify(body),
  });
  const text = await r.text();
  const answer = text ? JSON.parse(text) : {};
  if (!r.ok) throw new Error(answer.error || r.statusText);
  return answer;
}

let toastTimer;
function complain(err) {
  const t = $('#toast');
  t.textContent = err.message;
  t.hidden = false;
  clearTimeout(toastTimer);
  toastTimer = setTimeout(() => { t.hidden = true; }, 8000);
}

// --- what is shown ---------------------------------------------------------------------------------------------------

function keep(side, item) {
  if (!item.tag) return void sides[side].items.delete(item.id); // gone for good
  const older = (item.messages || []).length - maxMessages;
  if (older > 0) {
    item.messages.splice(0, older);
    item.moreMessages = (item.moreMessages || 0) + older;
  }
  sides[side].items.set(item.id, item);
}

// rows pairs tickets with work items; newest first.
function rows() {
  const wi = sides['work-items'].items, out = [], used = new Set();
  const byTicket = new Map();
  for (const w of wi.values()) if (w.pair && !byTicket.has(w.pair)) byTicket.set(w.pair, w);
  for (const t of sides.tickets.items.values()) {
    const w = (t.pair && wi.get(t.pair)) || byTicket.get(t.id);
    if (w) used.add(w.id);
    let link = 'none';
    if (w) link = t.pair === w.id ? (w.pair === t.id ? 'both' : 'ticket') : 'work-item';
    out.push({t, w, link, created: t.created});
  }
  for (const w of wi.values()) if (!used.has(w.id)) out.push({w, link: 'none', created: w.created});
  out.sort((a, b) => (a.created < b.created ? 1 : a.created > b.created ? -1 : (b.t?.id ?? b.w.id) - (a.t?.id ?? a.w.id)));
  return out.slice(0, maxRows);
}

function partners() {
  const want = [];
  for (const t of sides.tickets.items.values()) if (t.pair && !sides['work-items'].items.has(t.pair)) want.push(['work-items', t.pair]);
  for (const w of sides['work-items'].items.values()) if (w.pair && !sides.tickets.items.has(w.pair)) want.push(['tickets', w.pair]);
  for (const [side, id] of want.slice(0, 50)) {
    const key = side + '/' + id;
    if (asked.has(key)) continue;
    asked.add(key);
    call('GET', key).then((item) => { keep(side, item); draw(); }, () => {});
  }
}

let drawing = false;
function draw() {
  if (drawing) return;
  drawing = true;
  requestAnimationFrame(() => { drawing = false; drawNow(); });
  // A hidden tab has no animation frames.
  if (document.hidden) { drawing = false; drawNow(); }
}

const rowOf = new Map(); // key → li
function drawNow() {
  partners();
  const list = $('#rows'), all = rows().map((r) => ({...r, key: r.t ? 't' + r.t.id : 'w' + r.w.id}));
  // Rows that are gone go first: moving the others would take the focus from what somebody is typing.
  const seen = new Set(all.map((r) => r.key));
  for (const [key, li] of rowOf) if (!seen.has(key)) { li.remove(); rowOf.delete(key); }
  let at = list.firstElementChild;
  for (const {t, w, link, key} of all) {
    let li = rowOf.get(key);
    if (!li) {
      li = el('li', {className: 'row'}, el('div', {className: 'left'}), el('div', {className: 'link'}, el('i'), el('span')), el('div', {className: 'right'}));
      rowOf.set(key, li);
    }
    const [left, line, right] = li.children;
    line.dataset.link = link;
    line.lastChild.textContent = {both: 'linked', ticket: 'linked?', 'work-item': 'linked?', none: ''}[link];
    line.lastChild.title = {
      both: 'Each names the other', ticket: 'Only the ticket names the work item', 'work-item': 'Only the work item names the ticket', none: '',
    }[link];
    place(left, t && card('tickets', t));
    place(right, w && card('work-items', w));
    if (li !== at) list.insertBefore(li, at); else at = at.nextElementSibling;
  }
  for (const side in sides) $('#count-' + side).textContent = sides[side].items.size;
}

function place(box, card) {
  if (!card) box.replaceChildren();
  else if (box.firstElementChild !== card) box.replaceChildren(card);
}

function card(side, item) {
  const s = sides[side];
  let c = s.cards.get(item.id);
  if (!c) {
    c = newCard(side, item.id);
    s.cards.set(item.id, c);
  }
  if (c.item !== item) { c.item = item; fill(side, c, item); }
  return c;
}

function newCard(side, id) {
  const s = sides[side], name = s.attr + '-' + id;
  const c = $('#card').content.firstElementChild.cloneNode(true);
  c.id = name;
  c.dataset[s.attr === 'ticket' ? 'ticket' : 'workItem'] = id;
  $('[data-state-label]', c).textContent = s.label;
  $('[data-text-label]', c).textContent = s.pen;
  const select = $('[data-state-select]', c), text = $('[data-text]', c), file = $('[data-file]', c);
  select.id = s.state + '-' + name;
  select.dataset['set' + (s.state === 'status' ? 'Status' : 'State')] = id;
  text.id = 'message-' + name;
  text.placeholder = side === 'tickets' ? 'Write a message…' : 'Write a comment…';
  file.id = 'file-' + name;
  $('[data-send]', c).id = 'send-' + name;
  $('[data-write]', c).dataset.messageForm = name;
  $('[data-visible-box]', c).hidden = side !== 'tickets';
  select.addEventListener('change', () => act(select, () => call('PUT', `${side}/${id}/state`, {by: actor(), state: select.value}), side, c));
  file.addEventListener('change', () => {
    $('[data-picked]', c).textContent = [...file.files].map((f) => f.name).join(', ');
    $('.write .line', c).classList.toggle('keep', file.files.length > 0);
  });
  $('[data-write]', c).addEventListener('submit', (e) => { e.preventDefault(); send(side, id, c); });
  return c;
}

// act runs a change; what the server answers is shown at once, the stream brings it again.
async function act(control, run, side, c) {
  control.disabled = true;
  try {
    keep(side, await run());
  } catch (err) {
    complain(err);
    c.item = null; // put the controls back to what is
  } finally {
    control.disabled = false;
    draw();
  }
}

async function send(side, id, c) {
  const text = $('[data-text]', c), file = $('[data-file]', c), visible = $('[data-visible]', c), button = $('[data-send]', c);
  if (!text.value.trim() && !file.files.length) return text.focus();
  await act(button, async () => {
    const files = await Promise.all([...file.files].map(async (f) => ({name: f.name, contentType: f.type, content: await base64(f)})));
    const item = await call('POST', `${side}/${id}/messages`, {by: actor(), text: text.value, visible: visible.checked, files});
    text.value = '';
    file.value = '';
    file.dispatchEvent(new Event('change'));
    return item;
  }, side, c);
}

const base64 = (file) => new Promise((resolve, reject) => {
  const r = new FileReader();
  r.onload = () => resolve(r.result.slice(r.result.indexOf(',') + 1));
  r.onerror = () => reject(r.error);
  r.readAsDataURL(file);
});

function fill(side, c, item) {
  const s = sides[side];
  c.dataset[s.state] = item.state;
  c.dataset.pair = item.pair || '';
  c.classList.toggle('gone', !!item.deleted);
  $('[data-tag]', c).textContent = item.tag;
  $('[data-tag]', c).href = '#' + c.id;
  $('[data-kind]', c).textContent = item.kind;
  $('[data-badge]', c).textContent = item.deleted ? 'deleted' : item.state;
  $('[data-note]', c).textContent = (item.notes || []).join(' · ');
  $('[data-title]', c).textContent = item.title;
  $('[data-people]', c).textContent = [item.requester && 'from ' + item.requester, item.assignee && 'for ' + item.assignee].filter(Boolean).join(' · ');
  options($('[data-state-select]', c), item.states || [], item.state);
  $('[data-state-select]', c).setAttribute('aria-label', `${s.label} of ${item.tag}`);
  $('[data-text]', c).setAttribute('aria-label', `${s.pen} on ${item.tag}`);
  $('[data-actions]', c).replaceChildren(...(item.actions || []).map((a) => {
    const b = el('button', {type: 'button', textContent: a.replaceAll('-', ' ')});
    b.dataset.action = a;
    b.addEventListener('click', () => {
      $('[data-menu]', c).open = false;
      act(b, () => call('POST', `${side}/${item.id}/${a}`, {by: actor()}), side, c);
    });
    return b;
  }));
  $('[data-menu]', c).hidden = !(item.actions || []).length;
  $('[data-description-box]', c).hidden = !item.description;
  $('[data-description]', c).innerHTML = item.description || ''; // made safe by the server
  const more = $('[data-more]', c);
  more.hidden = !item.moreMessages;
  more.textContent = item.moreMessages ? `${item.moreMessages} earlier` : '';
  $('[data-messages]', c).replaceChildren(...(item.messages || []).map(message));
  $('[data-files]', c).replaceChildren(...(item.attachments || []).map((f) => {
    const a = el('a', {href: f.url, textContent: f.name, download: f.name, title: f.size + ' bytes'});
    a.dataset.attachment = f.name;
    return el('li', {}, a);
  }));
}

function message(m) {
  const html = el('div', {className: 'html', innerHTML: m.html}); // made safe by the server
  const li = el('li', {}, html);
  if (!m.system) {
    const who = `${m.author} · ${clock(m.at)}${m.kind ? ' · ' + m.kind : ''}${m.internal ? ' · internal' : ''}`;
    li.prepend(el('div', {className: 'by', textContent: who}));
  }
  li.dataset.message = m.id;
  li.dataset.system = !!m.system;
  li.dataset.internal = !!m.internal;
  return li;
}

function options(select, names, value) {
  const now = [...select.options].map((o) => o.value).join('\n');
  const all = names.includes(value) ? names : [value, ...names];
  if (now !== all.join('\n')) select.replaceChildren(...all.map((n) => new Option(n, n)));
  select.value = value;
}

// --- what moves ------------------------------------------------------------------------------------------------------

function tell(e) {
  const item = sides[e.side].items.get(e.id);
  const tag = item?.tag || (e.side === 'tickets' ? `T${e.id}SD` : `#${e.id}`);
  const rest = {
    created: `created ${tag}${e.detail ? ': ' + e.detail : ''}`,
    moved: `moved ${tag} from ${e.from} to ${e.to}`,
    wrote: `wrote on ${tag}`,
    edited: `edited a message on ${tag}`,
    attached: `attached ${e.detail || 'a file'} to ${tag}`,
    deleted: `deleted ${e.detail ? 'a message on ' : ''}${tag}`,
    restored: `restored ${tag}`,
    changed: `changed ${e.detail || 'fields'} of ${tag}${e.to ? ': ' + e.to : ''}`,
  }[e.verb] || `${e.verb} ${tag}`;
  const li = el('li', {}, el('b', {textContent: e.by || 'Somebody'}), ' ' + rest, el('time', {dateTime: e.at, textContent: clock(e.at)}));
  Object.assign(li.dataset, {side: e.side, verb: e.verb, application: e.application, item: e.id});
  const story = $('#story');
  story.prepend(li);
  while (story.children.length > maxStory) story.lastChild.remove();
}

// flash marks the card of what just moved with who moved it, and lets a dot run along the link when a person did.
function flash(e) {
  const c = sides[e.side].cards.get(e.id);
  if (!c) return;
  c.dataset.movedBy = e.by;
  $('[data-moved-text]', c).textContent = e.verb === 'moved' ? `${e.by} moved it from ${e.from}, ${clock(e.at)}` : `${e.by}, ${clock(e.at)}`;
  restart(c, 'moved');
  const line = c.closest('.row')?.querySelector('.link');
  if (!line) return;
  line.classList.remove('to-left', 'to-right');
  restart(line, (e.side === 'tickets') !== e.application ? 'to-right' : 'to-left');
}

function restart(e, name) {
  e.classList.remove(name);
  void e.offsetWidth;
  e.classList.add(name);
}

async function load() {
  const board = await call('GET', 'board');
  for (const [side, from] of [['tickets', board.tickets], ['work-items', board.workItems]]) {
    sides[side].items.clear();
    for (const item of from.items) keep(side, item);
    const kinds = $(side === 'tickets' ? '#new-ticket-kind' : '#new-work-item-kind');
    options(kinds, from.kinds, kinds.value || from.kinds[0] || '');
  }
  const acting = $('#acting-as'), was = acting.value || localStorage.getItem('acting-as');
  acting.replaceChildren(...(board.people || []).map((p) => new Option(p.name, p.login)));
  if ((board.people || []).some((p) => p.login === was)) acting.value = was;
  asked.clear();
  drawNow();
}

function live() {
  const on = (yes) => {
    $('#live').dataset.live = yes;
    $('#live').textContent = yes ? 'live' : 'connecting…';
  };
  const stream = new EventSource('/sandbox/api/events');
  // Events begin where the stream begins, so the board is read after that: nothing falls in between.
  stream.addEventListener('hello', () => load().then(() => { document.body.classList.add('read'); on(true); }, complain));
  stream.addEventListener('reset', () => load().catch(complain));
  stream.addEventListener('changes', (m) => {
    const {events, items} = JSON.parse(m.data);
    for (const side in items) for (const item of items[side]) keep(side, item);
    drawNow();
    for (const e of events) { tell(e); flash(e); }
  });
  stream.onerror = () => on(false);
}

// --- forms -----------------------------------------------------------------------------------------------------------

for (const form of document.querySelectorAll('form[data-new]')) {
  form.addEventListener('submit', async (e) => {
    e.preventDefault();
    const button = $('button', form), side = form.dataset.new, data = Object.fromEntries(new FormData(form));
    button.disabled = true;
    try {
      const item = await call('POST', side, {by: actor(), ...data});
      keep(side, item);
      form.querySelectorAll('input, textarea').forEach((i) => { i.value = ''; });
      form.closest('details').open = false;
      drawNow();
      document.getElementById(sides[side].attr + '-' + item.id)?.focus();
    } catch (err) {
      complain(err);
    } finally {
      button.disabled = false;
    }
  });
}
$('#acting-as').addEventListener('change', (e) => localStorage.setItem('acting-as', e.target.value));

async function faults() {
  const {rules} = await call('GET', 'faults/');
  $('#faults-panel').hidden = false;
  $('#fault-list').replaceChildren(...(rules || []).map((r) => {
    const b = el('button', {type: 'button', textContent: 'Remove'});
    b.addEventListener('click', () => call('DELETE', 'faults/' + encodeURIComponent(r.id)).then(faults, complain));
    return el('li', {}, `${r.kind} ${r.path || 'everywhere'}: ${r.hits}${r.count ? ' of ' + r.count : ''}`, b);
  }));
}
$('#faults').addEventListener('submit', (e) => {
  e.preventDefault();
  const kind = $('#fault-kind').value, rule = {path: $('#fault-where').value, kind, count: Number($('#fault-count').value)};
  if (kind === 'pass') rule.delay = '2s';
  call('POST', 'faults/', rule).then(faults, complain);
});
// notices shows what people were told, the newest first.
let noticesTimer;
async function notices() {
  clearTimeout(noticesTimer);
  const {mails, cards} = await call('GET', 'notices');
  const all = [
    ...mails.map((m) => ({at: m.at, via: 'mail', who: m.to, what: m.subject, text: m.text})),
    ...cards.map((c) => ({at: c.at, via: 'teams', who: (c.mentions || []).join(', ') || 'channel', what: c.lines[0], text: c.lines.slice(1).join('\n')})),
  ].sort((a, b) => (a.at < b.at ? 1 : -1)).slice(0, maxStory);
  $('#notices-panel').hidden = false;
  $('#count-notices').textContent = mails.length + cards.length;
  $('#notices').replaceChildren(...all.map((n) => {
    const li = el('li', {title: n.text}, el('b', {textContent: `${n.via === 'mail' ? '✉' : 'Teams'} ${n.who} `}), el('span', {textContent: n.what}));
    li.dataset.notice = n.via;
    return li;
  }));
  noticesTimer = setTimeout(() => notices().catch(() => {}), 2000);
}
notices().catch(() => {}); // without it the panel stays hidden
faults().catch(() => {}); // without the fault API the panel stays hidden
live();
