// The page. It shows what the portal pushes and sends what a person does; it keeps nothing else.

const find = (id) => document.getElementById(id);
const chosen = { user: 0, dialog: "", language: (navigator.language || "en").slice(0, 2).toLowerCase() };
const MOST_STORY = 400;
let world = null, stream = null, editing = null, options = [], active = -1, drawn = "";

function told(problem) {
  find("problem").textContent = problem;
  find("problem").hidden = !problem;
}

/** Asks the portal to do something; what it says against it is shown. */
async function ask(verb, path, body = {}) {
  try {
    const answer = await fetch(`/api/${path}`, { method: verb, headers: { "content-type": "application/json" }, body: JSON.stringify(body) });
    const read = await answer.json();
    told(answer.ok ? "" : [read.error.field, read.error.rule].filter(Boolean).join(" "));
    return answer.ok ? read : null;
  } catch {
    told("The portal does not answer.");
    return null;
  }
}
const act = (verb, body) => ask("POST", `users/${chosen.user}/${verb}`, body);

// ---- Who and where

function fill(select, entries, value) {
  const wanted = JSON.stringify(entries);
  if (select.dataset.filled !== wanted) {
    select.dataset.filled = wanted;
    select.replaceChildren(...entries.map(([key, name]) => el("option", { value: key }, name)));
  }
  if (select.value !== String(value)) select.value = String(value);
}

function dialogs(list, entries) {
  const wanted = JSON.stringify([entries, chosen.dialog]);
  if (list.dataset.filled === wanted) return;
  list.dataset.filled = wanted;
  const focused = list.contains(document.activeElement) ? document.activeElement.dataset.dialog : null;
  list.replaceChildren(...entries.map(([dialog, name]) => el("li", {}, el("button", {
    type: "button", "data-dialog": dialog, "aria-current": dialog === chosen.dialog ? "true" : null, click: () => choose({ dialog }),
  }, bdi(name)))));
  if (focused) list.querySelector(`[data-dialog="${CSS.escape(focused)}"]`)?.focus();
}

function showWorld() {
  const { people, bots, groups, languages, switches } = world;
  fill(find("user"), people.map((one) => [one.id, one.name + (one.guest ? " (guest)" : "")]), chosen.user);
  fill(find("language"), [...new Set([...languages, chosen.language])].sort().map((code) => [code, languageName(code)]), chosen.language);
  dialogs(find("groups"), groups.map((one) => [one.dialog, one.title]));
  dialogs(find("bots"), bots.map((one) => [String(one.id), one.name || one.code]));
  dialogs(find("people"), people.filter((one) => one.id !== chosen.user).map((one) => [String(one.id), one.name]));
  find("no-bots").hidden = bots.length > 0;
  const group = groups.find((one) => one.dialog === chosen.dialog);
  const other = [...bots, ...people].find((one) => String(one.id) === chosen.dialog);
  find("title").replaceChildren(bdi(group?.title ?? other?.name ?? "No dialog"));
  find("members").replaceChildren(bdi(group ? group.members.join(", ") : other ? (other.code ? `Private dialog with the bot “${other.code}”` : other.position || "Private dialog") : ""));
  const away = group ? bots.filter((one) => !one.here) : [];
  find("adding").hidden = away.length === 0;
  fill(find("add-bot"), away.map((one) => [one.id, one.name || one.code]), away.some((one) => String(one.id) === find("add-bot").value) ? find("add-bot").value : away[0]?.id ?? "");
  showSwitches(switches, bots);
  offer();
}

function languageName(code) {
  try { return new Intl.DisplayNames([code], { type: "language" }).of(code); } catch { return code; }
}

function choose(change) {
  Object.assign(chosen, change);
  leaveEdit();
  find("messages").replaceChildren();
  told("");
  listen();
}

function listen() {
  stream?.close();
  stream = new EventSource(`/events?${new URLSearchParams({ user: chosen.user, dialog: chosen.dialog, language: chosen.language })}`);
  let fresh = true;
  stream.onopen = () => { fresh = true; };
  stream.onerror = () => { find("state").textContent = "The portal is away; trying again …"; };
  stream.onmessage = (event) => {
    const news = JSON.parse(event.data);
    if (fresh) {
      // Everything is told anew.
      find("messages").replaceChildren();
      news.messages ??= { changed: [], gone: [] };
      find("state").textContent = "Live";
      fresh = false;
    }
    if (news.world) world = news.world;
    if (news.world && !begun()) return;
    if (news.world) showWorld();
    if (news.level) showLevel(news.level);
    if (news.messages) showMessages(news.messages);
    if (news.story) showStory(news.story);
  };
}

/** Chooses somebody to be and somewhere to talk; false when that has to be asked for first. */
function begun() {
  const known = world.people.some((one) => one.id === chosen.user);
  const places = [...world.groups.map((one) => one.dialog), ...world.bots.map((one) => String(one.id)), ...world.people.map((one) => String(one.id))];
  if (known && places.includes(chosen.dialog) && chosen.dialog !== String(chosen.user)) return true;
  const user = known ? chosen.user : (world.people[1] ?? world.people[0])?.id;
  if (user === undefined) return true;
  const dialog = user === chosen.user ? world.groups[0]?.dialog ?? String(world.bots[0]?.id ?? "") : "";
  if (user === chosen.user && dialog === chosen.dialog) return true;
  choose({ user, dialog });
  return false;
}

// ---- Writing

function offer() {
  const input = find("input"), list = find("suggestions");
  const line = input.value.slice(0, input.selectionStart).split("\n").pop();
  const begun = /^\/(\S*)$/.exec(line);
  options = begun && world ? world.commands.filter((one) => one.name.startsWith(begun[1])) : [];
  list.hidden = options.length === 0;
  active = options.length ? Math.min(Math.max(active, 0), options.length - 1) : -1;
  find("offered").textContent = options.length ? `${options.length === 1 ? "1 command" : `${options.length} commands`}; arrows choose, Tab takes.` : begun && world ? "No bot here has such a command." : "";
  const wanted = JSON.stringify([options, active]);
  if (wanted === drawn) return;
  drawn = wanted;
  list.replaceChildren(...options.map((one, number) => el("div", {
    role: "option", id: `option-${number}`, "aria-selected": String(number === active),
    mousedown: (event) => { event.preventDefault(); take(number); },
  }, el("b", {}, `/${one.name}`), bdi(one.title), " ", one.hint ? el("span", { class: "note" }, "‹", bdi(one.hint), "›") : "", el("div", { class: "note" }, bdi(one.bot)))));
  if (active >= 0) {
    input.setAttribute("aria-activedescendant", `option-${active}`);
    find(`option-${active}`).scrollIntoView({ block: "nearest" });
  } else input.removeAttribute("aria-activedescendant");
}

function take(number) {
  const input = find("input"), end = input.selectionStart;
  const before = input.value.slice(0, end).replace(/\/\S*$/, `/${options[number].name} `);
  input.value = before + input.value.slice(end);
  input.setSelectionRange(before.length, before.length);
  input.focus();
  offer();
}

function edit(message) {
  editing = message.id;
  find("editing").hidden = false;
  write(message.source ?? "");
}

function leaveEdit() {
  if (editing !== null) find("input").value = "";
  editing = null;
  find("editing").hidden = true;
}

async function send() {
  const input = find("input"), said = input.value;
  if (!said.trim()) return;
  const done = editing === null ? await act("types", { dialog: chosen.dialog, text: said }) : await act("edits", { message_id: editing, text: said });
  if (!done) return;
  leaveEdit();
  input.value = "";
  find("messages").scrollTop = find("messages").scrollHeight;
  offer();
}

// ---- Behind the conversation

function showLevel(level) {
  const limit = level.threshold, meter = find("requests");
  meter.max = limit ?? 1;
  meter.high = limit ? limit * 0.8 : 1;
  meter.value = limit ? level.requests : 0;
  find("requests-told").textContent = limit ? `${Math.round(level.requests)} of ${limit}, ${level.drain} leave each second` : "no limit";
  const busy = level.busy ? [bdi(level.busy.bot), ` is ${level.busy.doing} …`] : [];
  if (find("busy").textContent !== busy.map((part) => part.textContent ?? part).join("")) find("busy").replaceChildren(...busy);
  find("clock").replaceChildren(time(level.now, { dateStyle: "medium", timeStyle: "medium" }));
  find("methods").replaceChildren(...level.methods.map((one) => el("li", {}, el("span", {}, one.method), el("span", {}, one.banned ? "blocked" : `${one.seconds} of ${level.operating_limit} s`))));
  find("windows").replaceChildren(...level.windows.map((one) => el("li", {},
    el("span", {}, "Answer window of ", bdi(one.bot)),
    el("span", { "data-window": one.left > 0 ? "open" : "closed" }, one.left > 0 ? `${Math.floor(one.left / 60)}:${String(one.left % 60).padStart(2, "0")} left` : "closed"))));
}

function showSwitches(now, bots) {
  const limits = now.threshold === null ? "none" : `${now.threshold}/${now.drain_per_second}`;
  find("limits").value = limits;
  find("latency").value = String(now.latency_ms);
  find("condition").value = now.condition;
  find("dropped").checked = now.late_answers_are_dropped;
  find("faults").textContent = now.faults === 1 ? "1 fault waits" : `${now.faults} faults wait`;
  const unusual = [limits !== "50/2", now.latency_ms > 0, now.condition !== "open", now.faults > 0, !now.late_answers_are_dropped].filter(Boolean).length;
  find("switched").textContent = unusual ? `${unusual} not as usual` : "all as usual";
  const modes = find("modes"), wanted = JSON.stringify(bots.map((one) => [one.code, one.name, one.mode]));
  if (modes.dataset.filled === wanted) return;
  modes.dataset.filled = wanted;
  modes.replaceChildren(...bots.map((one) => {
    const select = el("select", { "data-code": one.code, change: async () => {
      await ask("POST", "delivery", { code: one.code, mode: select.value });
      select.value = world.bots.find((other) => other.code === one.code)?.mode ?? one.mode;
    } }, el("option", { value: "fetch" }, "Fetch"), el("option", { value: "webhook" }, "Webhook"));
    select.value = one.mode;
    return el("label", {}, bdi(one.name || one.code), select);
  }));
}

function line(entry) {
  const at = time(entry.at, CLOCK);
  if (entry.is === "effect") return el("li", { id: entry.id, class: `effect${entry.quiet ? " quiet" : ""}` }, at, " ", bdi(entry.text));
  const good = entry.status >= 200 && entry.status < 300 && !entry.error;
  const outcome = entry.error ?? entry.failure ?? (entry.status ? String(entry.status) : "no answer");
  const summary = el("summary", {}, at, " ", el("strong", {}, bdi(entry.method ?? `posted ${entry.event}`)), " ", el("span", { class: good ? "ok" : "bad" }, outcome),
    entry.took_ms > 0 ? el("span", { class: "took" }, ` ${entry.took_ms} ms`) : "", entry.faulted ? " · fault" : "", entry.is === "call" && !entry.executed ? " · not executed" : "");
  const details = el("details", { toggle: () => { if (details.open && details.children.length === 1) detail(entry.id, details); } }, summary);
  return el("li", { id: entry.id, class: entry.quiet ? "quiet" : null }, details);
}

async function detail(id, details) {
  const shown = await ask2(`/api/story/${id}`);
  if (!shown) return;
  details.append(el("p", { class: "note" }, shown.how), el("h3", {}, "Asked"), el("pre", { tabindex: 0 }, shown.asked));
  if (shown.answered) details.append(el("h3", {}, "Answered"), el("pre", { tabindex: 0 }, shown.answered));
}
async function ask2(path) {
  try {
    const answer = await fetch(path);
    return answer.ok ? await answer.json() : null;
  } catch { return null; }
}

function showStory(entries) {
  const list = find("story"), members = new Map();
  for (const entry of entries) {
    if (find(entry.id)) continue;
    const shown = line(entry);
    if (entry.batch !== undefined && entry.batch !== null) {
      members.set(entry.batch, [...(members.get(entry.batch) ?? []), shown]);
    } else if (entry.carries) {
      const inside = members.get(entry.carries) ?? [];
      members.delete(entry.carries);
      shown.append(el("ol", { "aria-label": `Calls of batch ${entry.carries}` }, ...inside));
      list.prepend(shown);
    } else list.prepend(shown);
  }
  for (const alone of members.values()) list.prepend(...alone);
  while (list.children.length > MOST_STORY) list.lastElementChild.remove();
}

// ---- What a person does

find("user").addEventListener("change", (event) => choose({ user: Number(event.target.value) }));
find("language").addEventListener("change", (event) => {
  // Its times are written in the language.
  find("story").replaceChildren();
  choose({ language: event.target.value });
});
find("composer").addEventListener("submit", (event) => { event.preventDefault(); send(); });
find("input").addEventListener("input", () => { active = 0; offer(); });
find("input").addEventListener("blur", () => { find("suggestions").hidden = true; });
find("input").addEventListener("focus", offer);
find("input").addEventListener("keydown", (event) => {
  const shown = options.length > 0 && !find("suggestions").hidden;
  if (event.isComposing) return;
  if (shown && (event.key === "ArrowDown" || event.key === "ArrowUp")) {
    active = (active + (event.key === "ArrowDown" ? 1 : options.length - 1)) % options.length;
    offer();
  } else if (shown && (event.key === "Tab" || event.key === "Enter") && !event.shiftKey && !complete()) take(active);
  else if (event.key === "Escape") { if (shown) find("suggestions").hidden = true; else leaveEdit(); }
  else if (event.key === "Enter" && !event.shiftKey) send();
  else return;
  event.preventDefault();
});
/** Whether the command that is chosen was typed out already. */
const complete = () => find("input").value.trim() === `/${options[active]?.name}`;

find("add").addEventListener("click", () => ask("POST", `chats/${chosen.dialog.slice(4)}/bots`, { bot_id: Number(find("add-bot").value), by_user: chosen.user }));
find("limits").addEventListener("change", (event) => {
  const [threshold, drain] = event.target.value === "none" ? [null, 2] : event.target.value.split("/").map(Number);
  ask("PATCH", "limits", { threshold, drain_per_second: drain });
});
find("latency").addEventListener("change", (event) => ask("POST", "latency", { ms: Number(event.target.value) }));
find("condition").addEventListener("change", (event) => ask("POST", "condition", { condition: event.target.value }));
find("dropped").addEventListener("change", (event) => ask("PATCH", "quirks", { late_answers_are_dropped: event.target.checked }));
find("pass").addEventListener("click", () => ask("POST", "clock", { advance_ms: 600000 }));
find("clear-faults").addEventListener("click", () => ask("DELETE", "faults"));
find("fault").addEventListener("submit", (event) => {
  event.preventDefault();
  const given = new FormData(event.target), kind = given.get("kind"), times = given.get("times");
  const code = kind === kind.toUpperCase();
  const status = { INTERNAL_SERVER_ERROR: 500, QUERY_LIMIT_EXCEEDED: 503, ACCESS_DENIED: 400 }[kind];
  ask("POST", "faults", {
    ...(code ? { kind: "error", code: kind, status } : { kind }),
    ...(given.get("method") ? { method: given.get("method") } : {}),
    when: given.get("when"), times: times === "always" ? times : Number(times),
  });
});
find("quiet").addEventListener("change", (event) => find("story").classList.toggle("all", event.target.checked));

ask2("/api/options").then((known) => { find("delivery").hidden = !known?.changes_delivery; });
listen();
