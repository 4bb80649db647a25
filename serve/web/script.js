'use strict';
// The page of the server: a client of its own API, docs/formats/http_api.md.

const $ = (id) => document.getElementById(id);
const page = {session: null, model: '', key: sessionStorage.getItem('radlads.key') || '', abort: null, last: '',
              first: 0, continues: false};
const tokensShown = 16384;  // of a long conversation, before earlier ones are asked for

// ---- The server

async function call(method, path, body, more = {}) {
  for (;;) {
    const headers = {...more.headers};
    if (page.key) headers.Authorization = 'Bearer ' + page.key;
    if (body !== undefined && !headers['Content-Type']) {
      headers['Content-Type'] = 'application/json';
      body = JSON.stringify(body);
    }
    const reply = await fetch(path, {method, headers, body, signal: more.signal});
    if (reply.ok) return reply;
    if (reply.status === 401) {
      await askKey();
      continue;
    }
    let message = reply.status + ' ' + reply.statusText;
    try {
      message = (await reply.json()).error.message;
    } catch (e) {
      // Not one of the server's own errors: the status has to do.
    }
    throw new Error(message);
  }
}

const sessionPath = (id, rest = '', query = {}) =>
    '/v1/sessions' + (id ? '/' + encodeURIComponent(id) : '') + rest + '?' +
    new URLSearchParams({model: page.model, ...query});

function askKey() {
  const dialog = $('key');
  return new Promise((resolve, reject) => {
    dialog.onclose = () => {
      page.key = $('key-value').value.trim();
      sessionStorage.setItem('radlads.key', page.key);
      if (dialog.returnValue === 'ok' && page.key) resolve();
      else reject(new Error('the server wants an API key; reload the page to give one'));
    };
    dialog.returnValue = '';
    dialog.showModal();
  });
}

// The events of a stream, as they come.
async function* events(reply) {
  const reader = reply.body.pipeThrough(new TextDecoderStream()).getReader();
  let text = '';
  for (;;) {
    const {done, value} = await reader.read();
    if (done) throw new Error('the reply broke off; is the server still there?');
    text += value;
    for (let end; (end = text.indexOf('\n\n')) >= 0; text = text.slice(end + 2)) {
      const event = text.slice(0, end);
      if (event === 'data: [DONE]') return;
      if (event.startsWith('data: ')) yield JSON.parse(event.slice(6));
    }
  }
}

// ---- What is shown

function spell(bytes) {
  const units = ['bytes', 'KiB', 'MiB', 'GiB'];
  let unit = 0;
  for (; bytes >= 1024 && unit < 3; ++unit) bytes /= 1024;
  return (unit ? bytes.toFixed(1) : bytes) + ' ' + units[unit];
}

const count = (tokens) => tokens.toLocaleString('en') + (tokens === 1 ? ' token' : ' tokens');

function showState(tokens, bytes) {
  $('context').textContent = count(tokens);
  $('bytes').textContent = spell(bytes);
}

function fail(error) {
  if (error.name !== 'AbortError') $('error').textContent = error.message;
}

// Runs a task that may fail, and says so.
const guarded = (task) => async (...args) => {
  $('error').textContent = '';
  try {
    await task(...args);
  } catch (error) {
    fail(error);
  }
};

function button(label, title, task) {
  const made = document.createElement('button');
  made.type = 'button';
  made.textContent = label;
  made.title = title;
  made.addEventListener('click', guarded(task));
  return made;
}

const names = {user: 'You', assistant: 'Model', system: 'System', text: 'Text'};

function setRole(article, role) {
  article.className = role;
  article.firstChild.textContent = names[role] || role;
}

function addMessage(role, content, snapshot, before = null) {
  const article = document.createElement('article');
  const text = document.createElement('p');
  text.textContent = content;
  article.append(document.createElement('h3'), text);
  setRole(article, role);
  $('log').insertBefore(article, before);
  if (snapshot) addPlaces(article, snapshot);
  return text;
}

// What can be done at the end of a reply.
function addPlaces(article, snapshot) {
  const places = document.createElement('div');
  places.className = 'places';
  places.append(button('Fork here', 'A new conversation that goes on from here', () => fork(snapshot)),
                button('Rewind to here', 'Drops what comes after', () => rewind(snapshot)));
  article.append(places);
}

const atEnd = () => $('log').scrollHeight - $('log').scrollTop - $('log').clientHeight < 40;
const toEnd = () => { $('log').scrollTop = $('log').scrollHeight; };

// ---- Conversations

async function loadModels() {
  const models = (await (await call('GET', '/v1/models')).json()).data;
  $('model').replaceChildren(...models.map((model) => new Option(model.id, model.id)));
  page.model = models[0].id;
}

async function loadSessions(after = '') {
  const reply = await (await call('GET', sessionPath('', '', {limit: 50, after}))).json();
  const items = reply.data.map((session) => {
    const item = document.createElement('li');
    const open = button(session.id, 'Open this conversation', () => openSession(session.id));
    const facts = document.createElement('small');
    facts.textContent = count(session.tokens) + (session.parent ? ', from ' + session.parent : '');
    open.append(facts);
    open.setAttribute('aria-current', session.id === page.session);
    item.append(open);
    return item;
  });
  if (after) $('list').append(...items);
  else $('list').replaceChildren(...items);
  page.last = reply.data.length ? reply.data[reply.data.length - 1].id : '';
  $('more').hidden = !reply.has_more;
}

function setSession(id) {
  page.session = id;
  $('title').textContent = id || 'New conversation';
  for (const of of document.querySelectorAll('.of-session')) of.hidden = !id;
  history.replaceState(null, '', id ? '#' + encodeURIComponent(id) : location.pathname);
}

function newConversation() {
  if (page.abort) page.abort.abort();
  setSession(null);
  setFirst(0, false);
  $('log').replaceChildren();
  showState(0, 0);
  $('speed').textContent = '–';
  $('sessions').classList.remove('open');
  $('menu').setAttribute('aria-expanded', 'false');
  $('prompt').focus();
  return loadSessions();
}

// Where what is shown begins, and whether its first message began before that.
function setFirst(first, continues) {
  page.first = first;
  page.continues = continues;
  $('earlier').hidden = first === 0;
}

// Of a part of a conversation. No message may be known of it: then it is the inside of one.
function messagesOf(part) {
  if (part.messages.length || !part.text) return part.messages;
  return [{role: 'text', content: part.text, tokens: part.tokens, continues: part.first > 0}];
}

// Shows messages before the article `before`; `next`: tokens of the text up to the end of that.
function addMessages(messages, snapshots, before, next) {
  messages.forEach((message, i) => {
    const end = i + 1 < messages.length ? messages[i + 1].tokens : next;
    const kept = snapshots.filter((s) => s.tokens >= message.tokens && s.tokens < end).pop();
    const text = addMessage(message.role, message.content, message.role === 'assistant' && kept && kept.id, before);
    text.parentNode.dataset.tokens = message.tokens;
  });
}

async function openSession(id) {
  if (page.abort) page.abort.abort();
  const session = await (await call('GET', sessionPath(id, '', {limit: tokensShown}))).json();
  const messages = messagesOf(session);
  setSession(id);
  setFirst(session.first, session.first > 0 && messages.length > 0 && Boolean(messages[0].continues));
  $('log').replaceChildren();
  addMessages(messages, session.snapshots, null, Infinity);
  showState(session.tokens, session.state_bytes);
  $('speed').textContent = '–';
  toEnd();
  $('sessions').classList.remove('open');
  $('menu').setAttribute('aria-expanded', 'false');
  await loadSessions();
}

async function showEarlier() {
  const id = page.session, first = Math.max(0, page.first - tokensShown);
  const part = await (await call('GET', sessionPath(id, '', {first, limit: page.first - first}))).json();
  if (page.session !== id) return;
  const messages = messagesOf(part), log = $('log'), shown = log.firstElementChild;
  const below = log.scrollHeight - log.scrollTop;
  const continues = part.first > 0 && messages.length > 0 && Boolean(messages[0].continues);
  if (shown && page.continues && messages.length) {
    // The last of these goes on in what is shown.
    const last = messages.pop();
    shown.children[1].textContent = last.content + shown.children[1].textContent;
    if (last.role !== 'text') setRole(shown, last.role);
  }
  addMessages(messages, part.snapshots, shown, shown ? Number(shown.dataset.tokens) : Infinity);
  setFirst(part.first, continues);
  log.scrollTop = log.scrollHeight - below;
  $('status').textContent = 'Earlier messages are shown.';
}

async function fork(snapshot) {
  const made = await (await call('POST', sessionPath(page.session, '/fork'), snapshot ? {snapshot} : {})).json();
  await openSession(made.id);
  $('status').textContent = 'A fork of the conversation is open.';
}

async function rewind(snapshot) {
  if (!confirm('Drop everything after this reply?')) return;
  await call('POST', sessionPath(page.session, '/rewind'), {snapshot});
  await openSession(page.session);
  $('status').textContent = 'The conversation ends here again.';
}

async function remove() {
  if (!confirm('Delete this conversation? It cannot be had back.')) return;
  await call('DELETE', sessionPath(page.session));
  await newConversation();
}

async function exportSession() {
  const blob = await (await call('GET', sessionPath(page.session, '/export'))).blob();
  const link = document.createElement('a');
  link.href = URL.createObjectURL(blob);
  link.download = page.session + '.radlads';
  link.click();
  URL.revokeObjectURL(link.href);
}

async function importSession() {
  const file = $('import').files[0];
  if (!file) return;
  const headers = {'Content-Type': 'application/octet-stream'};
  const made = await (await call('POST', sessionPath('', '/import'), file, {headers})).json();
  $('import').value = '';
  await openSession(made.id);
}

// ---- A turn

async function say(text) {
  if (!page.session) {
    const made = await (await call('POST', sessionPath(''), {})).json();
    setSession(made.id);
    const system = $('system').value.trim();
    if (system) addMessage('system', system);
    page.system = system;
  }
  const messages = [{role: 'user', content: text}];
  if (page.system) messages.unshift({role: 'system', content: page.system});
  addMessage('user', text);
  const answer = addMessage('assistant', '');
  answer.setAttribute('aria-busy', 'true');
  toEnd();
  page.abort = new AbortController();
  $('send').hidden = true;
  $('stop').hidden = false;
  const body = {
    model: page.model, session_id: page.session, messages, stream: true, stream_options: {include_usage: true},
    temperature: Number($('temperature').value), top_p: Number($('top_p').value),
    max_tokens: Number($('max_tokens').value),
  };
  let begun = 0, pieces = 0, before = Number($('context').textContent.replace(/\D/g, ''));
  try {
    const reply = await call('POST', '/v1/chat/completions', body, {signal: page.abort.signal});
    page.system = '';
    for await (const event of events(reply)) {
      if (event.error) throw new Error(event.error.message);
      const choice = event.choices[0];
      if (choice && choice.delta.content) {
        const follow = atEnd();
        answer.textContent += choice.delta.content;
        if (follow) toEnd();
        ++pieces;
        begun = begun || performance.now();
        const seconds = (performance.now() - begun) / 1000;
        if (seconds > 0.2) $('speed').textContent = ((pieces - 1) / seconds).toFixed(1) + ' tokens/s';
        $('context').textContent = count(before + pieces);
      }
      if (event.state) {
        showState(event.state.tokens, event.state.bytes);
        if (event.state.snapshot) addPlaces(answer.parentNode, event.state.snapshot);
      }
      if (event.usage && begun) {
        const seconds = (performance.now() - begun) / 1000;
        if (seconds > 0) $('speed').textContent = ((event.usage.completion_tokens - 1) / seconds).toFixed(1) + ' tokens/s';
      }
    }
    $('status').textContent = 'The reply is complete.';
  } catch (error) {
    const id = page.session;
    // What was said until then is part of the conversation.
    if (error.name === 'AbortError') setTimeout(guarded(() => id && page.session === id && openSession(id)), 300);
    throw error;
  } finally {
    answer.removeAttribute('aria-busy');
    page.abort = null;
    $('send').hidden = false;
    $('stop').hidden = true;
    await loadSessions();
  }
}

// ---- Events

$('form').addEventListener('submit', guarded(async (event) => {
  event.preventDefault();
  const text = $('prompt').value.trim();
  if (!text || page.abort) return;
  $('prompt').value = '';
  await say(text);
}));
$('prompt').addEventListener('keydown', (event) => {
  if (event.key === 'Enter' && !event.shiftKey && !event.isComposing) {
    event.preventDefault();
    $('form').requestSubmit();
  }
});
document.addEventListener('keydown', (event) => {
  if (event.key === 'Escape' && page.abort) page.abort.abort();
});
$('stop').addEventListener('click', () => page.abort && page.abort.abort());
$('new').addEventListener('click', guarded(newConversation));
$('more').addEventListener('click', guarded(() => loadSessions(page.last)));
$('earlier').addEventListener('click', guarded(showEarlier));
$('fork').addEventListener('click', guarded(() => fork('')));
$('delete').addEventListener('click', guarded(remove));
$('export').addEventListener('click', guarded(exportSession));
$('import').addEventListener('change', guarded(importSession));
$('model').addEventListener('change', guarded(() => {
  page.model = $('model').value;
  return newConversation();
}));
$('menu').addEventListener('click', () => {
  $('menu').setAttribute('aria-expanded', $('sessions').classList.toggle('open'));
});

guarded(async () => {
  await loadModels();
  await loadSessions();
  const id = decodeURIComponent(location.hash.slice(1));
  if (id) await openSession(id);
})();
