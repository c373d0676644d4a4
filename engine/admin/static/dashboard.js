// What pages gain from a script: copying, a filter while typing, the value below the pointer of a plot.
// Every page works without it.
"use strict";

function onEach(selector, prepare) {
  document.querySelectorAll(selector).forEach(prepare);
}

async function copy(button) {
  const source = document.getElementById(button.dataset.copy);
  const text = "value" in source ? source.value : source.textContent;
  const before = button.textContent;
  try {
    await navigator.clipboard.writeText(text);
    button.textContent = "Copied";
  } catch {  // no permission, or a page without TLS: select it, so that one keystroke copies
    if (source.select) source.select();
    else getSelection().selectAllChildren(source);
    button.textContent = "Press Ctrl+C";
  }
  setTimeout(() => { button.textContent = before; }, 2000);
}

onEach("[data-copy]", (button) => {
  button.hidden = false;
  button.setAttribute("aria-live", "polite");
  button.addEventListener("click", () => copy(button));
});

onEach("[data-select]", (input) => {
  input.addEventListener("focus", () => input.select());
  if (document.activeElement === input) input.select();
});

onEach("[data-submit-on-change]", (form) => {
  form.addEventListener("change", () => form.requestSubmit());
});

onEach("[data-plot]", (figure) => {
  const readout = figure.querySelector("[data-readout]");
  const before = readout.textContent;
  figure.addEventListener("pointerover", (event) => {
    readout.textContent = event.target.dataset.read || before;
  });
  figure.addEventListener("pointerleave", () => { readout.textContent = before; });
});

onEach("[data-filter]", (form) => {
  const table = document.getElementById(form.dataset.filter);
  const none = document.getElementById(`${form.dataset.filter}-none`);
  const input = form.querySelector("input[type=search]");
  const rows = Array.from(table.tBodies[0].rows);
  input.addEventListener("input", () => {
    const words = input.value.toLowerCase().split(/\s+/);
    let shown = 0;
    for (const row of rows) {
      row.hidden = !words.every((word) => row.dataset.row.includes(word));
      shown += row.hidden ? 0 : 1;
    }
    none.hidden = shown > 0;
  });
});

onEach("[data-menu]", (menu) => {
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && menu.open) {
      menu.open = false;
      menu.querySelector("summary").focus();
    }
  });
});
