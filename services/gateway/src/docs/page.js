"use strict";

/** An element with text or children. */
function element(name, properties, ...children) {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
}

/** The schema that a reference leads to. */
function resolve(api, schema) {
  const name = schema?.$ref?.split("/").pop();
  return name ? api.components.schemas[name] : schema;
}

/** A schema in one readable word or shape. `depth` bounds how far references are followed. */
function shape(api, schema, depth = 3) {
  const resolved = resolve(api, schema) ?? {};
  const union = resolved.oneOf ?? resolved.anyOf;
  if (union) return union.map((one) => shape(api, one, depth)).find((one) => one !== "null");
  if (resolved.enum) return resolved.enum.join(" | ");
  if (depth === 0) return schema?.$ref?.split("/").pop() ?? "…";
  if (resolved.allOf) {
    return Object.assign({}, ...resolved.allOf.map((one) => shape(api, one, depth)));
  }
  if (resolved.items) return [shape(api, resolved.items, depth - 1)];
  if (resolved.properties) {
    const members = Object.entries(resolved.properties);
    return Object.fromEntries(members.map(([key, one]) => [key, shape(api, one, depth - 1)]));
  }
  const type = [resolved.type ?? "any"].flat().filter((one) => one !== "null").join(" | ");
  return resolved.format ? `${type} (${resolved.format})` : type;
}

function content(api, title, body) {
  if (!body?.content) return [];
  return Object.entries(body.content).map(([type, { schema }]) =>
    element(
      "div",
      {},
      element("h4", { textContent: `${title}: ${type}` }),
      element("pre", { textContent: JSON.stringify(shape(api, schema), null, 2) }),
    ),
  );
}

function parameters(list) {
  if (!list?.length) return [];
  const rows = list.map((one) =>
    element(
      "tr",
      {},
      element("td", {}, element("code", { textContent: one.name })),
      element("td", { textContent: one.required ? `${one.in}, required` : one.in }),
      element("td", { textContent: one.description ?? "" }),
    ),
  );
  return [element("table", {}, ...rows)];
}

function operation(api, path, method, described) {
  const token = Object.keys(described.security?.[0] ?? {})[0] ?? "no token";
  const answers = Object.entries(described.responses).filter(([code]) => code !== "default");
  const codes = answers.map(([code, one]) => `${code} ${one.description}`.trim()).join(", ");
  const summary = element(
    "summary",
    {},
    element("span", { className: "method", textContent: method.toUpperCase() }),
    element("code", { textContent: path }),
    element("span", { className: "token", textContent: ` ${token}` }),
  );
  const detail = element(
    "div",
    {},
    element("p", { textContent: [described.summary, described.description].join(" ") }),
    ...parameters(described.parameters),
    ...content(api, "Send", described.requestBody),
    element("p", { textContent: `Answers: ${codes}` }),
    ...answers.flatMap(([code, one]) => content(api, code, one)),
  );
  return element("details", {}, summary, detail);
}

function show(api, wanted) {
  const groups = new Map();
  for (const [path, methods] of Object.entries(api.paths)) {
    for (const [method, described] of Object.entries(methods)) {
      if (!described.responses) continue;
      const text = `${method} ${path} ${described.summary} ${described.description}`;
      if (!text.toLowerCase().includes(wanted.toLowerCase())) continue;
      const tag = described.tags?.[0] ?? "other";
      groups.set(tag, [...(groups.get(tag) ?? []), operation(api, path, method, described)]);
    }
  }
  const sections = [...groups].map(([tag, operations]) =>
    element("section", {}, element("h2", { textContent: tag }), ...operations),
  );
  document.getElementById("operations").replaceChildren(...sections);
}

async function start() {
  const answer = await fetch("/api/docs/openapi.json");
  if (!answer.ok) throw new Error(`the server answers ${answer.status}`);
  const api = await answer.json();
  const find = document.getElementById("find");
  find.addEventListener("input", () => show(api, find.value));
  show(api, find.value);
}

start().catch((error) => {
  document.getElementById("operations").textContent = `Cannot read it: ${error.message}`;
});
