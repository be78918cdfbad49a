// How a message looks. What others wrote comes as nodes, colours and links that were checked; elements are
// made one by one and texts are texts, so nothing is ever read as HTML.
"use strict";

// Characters from which on a message scrolls by itself.
const LONG = 1500;
const FACES = {
  like: "👍", dislike: "👎", redHeart: "❤️", faceWithTearsOfJoy: "😂", fire: "🔥", wonder: "😮", cry: "😢", laugh: "😆",
  eyes: "👀", clappingHands: "👏", whiteHeavyCheckMark: "✅", crossMark: "❌", questionMark: "❓", exclamationMark: "❗",
  partyingFace: "🥳", thinkingFace: "🤔", okHand: "👌", handshake: "🤝", hundredPoints: "💯", lightBulb: "💡",
};
const OFFERED = ["like", "redHeart", "faceWithTearsOfJoy", "wonder", "whiteHeavyCheckMark"];

/** An element with attributes and children; children that are no elements are texts. */
function el(name, attributes = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (typeof value === "function") element.addEventListener(key, value);
    else if (value === true) element.setAttribute(key, "");
    else if (value !== false && value !== null && value !== undefined) element.setAttribute(key, value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

const bdi = (text) => el("bdi", {}, text);
const time = (seconds, style) => {
  const at = new Date(seconds * 1000);
  const shown = new Intl.DateTimeFormat(chosen.language, style).format(at);
  return el("time", { datetime: at.toISOString() }, shown);
};
const CLOCK = { timeStyle: "medium" };

/** A link, if it leads to the web after all. */
function anchor(to, attributes, ...children) {
  let safe = null;
  try { safe = new URL(to); } catch { /* no address */ }
  if (!safe || !["http:", "https:"].includes(safe.protocol)) return el("span", {}, ...children);
  return el("a", { href: safe.href, target: "_blank", rel: "noopener noreferrer nofollow", title: safe.href, ...attributes }, ...children);
}

// ---- What a message shows

const INLINE = { bold: "b", italic: "i", underlined: "u", struck: "s", quote: "blockquote" };

function nodes(list) {
  return list.map((node, number) => {
    const inside = () => nodes(node.inside);
    switch (node.is) {
      // A block ends its line itself.
      case "text": return list[number - 1]?.is === "code" ? node.text.replace(/^\n/, "") : node.text;
      case "bold": case "italic": case "underlined": case "struck": case "quote": return el(INLINE[node.is], {}, ...inside());
      case "size": return styled(el("span", {}, ...inside()), "font-size", `${node.pixels / 15}em`);
      case "coloured": return styled(el("span", { class: "coloured" }, ...inside()), "--colour", node.colour);
      case "link": return anchor(node.to, {}, bdi2(inside()));
      case "mention": return el("span", { class: "mention", title: `${node.what} ${node.id}` }, bdi2(inside()));
      case "code": return el("code", {}, node.text);
      case "picture": return picture(node.to, node.name);
      case "time": return time(node.at, { dateStyle: "medium", timeStyle: "short" });
      case "file": return el("span", { class: "picture" }, `File ${node.id}`);
      case "action": return el("button", { type: "button", class: "press", title: `${node.does}: ${node.value.slice(0, 200)}`, click: () => perform(node.does, node.value) }, bdi2(inside()));
      default: return "";
    }
  });
}
const bdi2 = (children) => el("bdi", {}, ...children);
function styled(element, property, value) {
  element.style.setProperty(property, value);
  return element;
}
/** Pictures are named and never loaded: this page asks nobody but the portal. */
const picture = (to, name) => el("span", { class: "picture" }, "Picture: ", to ? anchor(to, {}, bdi(name || new URL(to).host)) : bdi(name || "without address"));
const bytes = (count) => (count === null ? "" : ` (${new Intl.NumberFormat(chosen.language).format(count)} bytes)`);

function text(list, length) {
  const long = length > LONG;
  return el("div", { class: long ? "text long" : "text", dir: "auto", tabindex: long ? 0 : null }, ...nodes(list));
}

function block(shown) {
  const named = (fallback) => shown.to ? anchor(shown.to, {}, bdi(shown.name || shown.to)) : bdi(shown.name || fallback);
  switch (shown.is) {
    case "message": return text(shown.text, 0);
    case "link": return el("div", {}, el("div", {}, shown.to ? named("") : bdi(`${shown.name} ${shown.what}`)), text(shown.text, 0), shown.preview && picture(shown.preview, "preview"));
    case "user": return el("div", { class: "mention" }, named(shown.what), shown.what && shown.name ? ` (${shown.what})` : "");
    case "picture": return picture(shown.to, shown.name);
    case "file": return el("div", {}, "File: ", named("without name"), bytes(shown.bytes));
    case "line": return shown.colour ? styled(el("hr"), "--bar", shown.colour) : el("hr");
    case "grid": return el("dl", { class: `cells ${shown.display}` }, ...shown.cells.map(cell));
    default: return el("pre", { class: "text", tabindex: 0 }, `${shown.kind} ${shown.text}`);
  }
}

function cell(shown) {
  const value = el("dd", { class: shown.colour ? "coloured" : null }, shown.to ? anchor(shown.to, {}, ...nodes(shown.value)) : text(shown.value, 0));
  if (shown.colour) styled(value, "--colour", shown.colour);
  return el("div", {}, el("dt", {}, bdi(shown.name)), value);
}

function attach(shown) {
  const box = el("div", { class: `attach ${shown.token}` }, ...shown.blocks.map(block));
  return shown.colour ? styled(box, "--bar", shown.colour) : box;
}

function keyboard(message) {
  const keys = message.keyboard.map((key, number) => {
    if (key.does === "break") return el("br");
    const look = { class: `${key.token}${key.line ? " inline" : ""}`, "data-key": `key-${number}`, title: key.value ? `${key.does}: ${key.value.slice(0, 200)}` : null };
    const shown = key.does === "link" && !key.disabled
      ? anchor(key.value, look, bdi(key.text))
      : el("button", { type: "button", disabled: key.disabled || key.does === "nothing", ...look, click: () => press(message, key) }, bdi(key.text));
    if (key.width) styled(shown, "min-width", `min(${key.width}px, 100%)`);
    if (key.ground && !key.disabled) styled(styled(shown, "background", key.ground), "color", key.letters);
    return shown;
  });
  return el("div", { class: "keys", role: "group", "aria-label": "Keyboard" }, ...keys);
}

function press(message, key) {
  if (["command", "send"].includes(key.does)) act("presses", { message_id: message.id, button: key.name });
  else perform(key.does, key.value);
}

function perform(does, value) {
  switch (does) {
    case "put": write(value); break;
    case "send": act("types", { dialog: chosen.dialog, text: value }); break;
    case "copy": navigator.clipboard.writeText(value).then(() => told(""), () => told("The browser does not let this page copy.")); break;
    case "dialog": choose({ dialog: value }); break;
    default: told(`In Bitrix24 this would ${does === "call" ? "call" : "open"} ${value.slice(0, 200)}.`);
  }
}

function write(value) {
  find("input").value = value;
  find("input").focus();
  offer();
}

function react(message, reaction) {
  act("reacts", { message_id: message.id, reaction });
}

function article(message) {
  const face = (name) => FACES[name] ?? name;
  const set = message.reactions.map((one) => el("button", {
    type: "button", "aria-pressed": String(one.mine), title: one.who.join(", "), "aria-label": `${one.reaction}, ${one.who.length}`,
    "data-key": `set-${one.reaction}`, click: () => react(message, one.reaction),
  }, `${face(one.reaction)} ${one.who.length}`));
  const offered = OFFERED.map((name) => el("button", { type: "button", "aria-label": `React with ${name}`, title: name, "data-key": `react-${name}`, click: () => react(message, name) }, face(name)));
  const own = message.mine && !message.deleted ? [
    el("button", { type: "button", "data-key": "edit", click: () => edit(message) }, "Change"),
    el("button", { type: "button", "data-key": "delete", click: () => act("deletes", { message_id: message.id }) }, "Delete"),
  ] : [];
  const length = JSON.stringify(message.text).length;
  return el("article", { id: `m${message.id}`, class: `${message.kind}${message.mine ? " mine" : ""}${message.deleted ? " deleted" : ""}` },
    el("div", { class: "head" }, el("strong", {}, bdi(message.author)), time(message.at, CLOCK), message.edited && el("span", {}, "changed"), message.forwarded && el("span", {}, "forwarded from ", bdi(message.forwarded))),
    el("div", { class: "bubble" },
      message.reply && el("blockquote", {}, el("strong", {}, bdi(message.reply.author)), " ", bdi(message.reply.text)),
      text(message.text, length),
      message.file && el("div", { class: "picture" }, "File: ", bdi(message.file.name), bytes(message.file.bytes)),
      message.attach && attach(message.attach),
      message.keyboard?.length ? keyboard(message) : null),
    set.length ? el("div", { class: "reactions" }, ...set) : null,
    message.deleted ? null : el("details", { class: "more" }, el("summary", { "data-key": "more" }, "React", own.length ? ", change" : ""), el("div", { class: "row" }, ...offered, ...own)));
}

function showMessages({ changed, gone }) {
  const list = find("messages");
  const atEnd = list.scrollHeight - list.scrollTop - list.clientHeight < 80;
  for (const id of gone) find(`m${id}`)?.remove();
  for (const message of changed) {
    const now = article(message), before = find(`m${message.id}`);
    if (before) {
      const key = before.contains(document.activeElement) ? document.activeElement.dataset.key : null;
      if (before.querySelector("details")?.open) now.querySelector("details")?.setAttribute("open", "");
      before.replaceWith(now);
      if (key) now.querySelector(`[data-key="${CSS.escape(key)}"]`)?.focus();
    } else {
      const later = [...list.querySelectorAll("article")].find((other) => Number(other.id.slice(1)) > message.id);
      if (later) later.before(now); else list.append(now);
    }
  }
  find("empty")?.remove();
  if (!list.children.length) list.append(el("p", { id: "empty", class: "note" }, "Nobody wrote here yet."));
  if (atEnd) list.scrollTop = list.scrollHeight;
}
