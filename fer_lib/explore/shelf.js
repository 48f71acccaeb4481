// Pictures from the kernel, as messages and not as state, so that none is ever saved with a notebook.

// JupyterLab would take the arrow keys of lists and sliders for itself, and move to another cell.
const keepKeys = (event) => event.target.setAttribute("data-lm-suppress-shortcuts", "true");

function render({ model, el }) {
  const root = document.createElement("div");
  root.className = "fer-shelf";
  el.append(root);
  let urls = [];
  const items = () => [...root.querySelectorAll("[role=option]")];

  function show(message, buffers) {
    if (message.type !== "pictures") return;
    urls.forEach((url) => URL.revokeObjectURL(url));
    urls = buffers.map((buffer) => URL.createObjectURL(new Blob([buffer], { type: "image/png" })));
    root.closest(".fer-panel")?.addEventListener("focusin", keepKeys);
    const choosing = message.choosing;
    root.setAttribute("role", choosing ? "listbox" : "group");
    root.setAttribute("aria-label", message.label);
    root.dataset.shown = message.number;
    root.replaceChildren(
      ...urls.map((src, i) => {
        const picture = Object.assign(document.createElement("img"), { src, alt: message.titles[i] });
        if (!choosing) return picture;
        const item = document.createElement("div");
        item.setAttribute("role", "option");
        item.append(picture, Object.assign(document.createElement("span"), { textContent: message.titles[i] }));
        item.onclick = () => choose(i);
        return item;
      }),
    );
    mark();
  }

  function mark() {
    items().forEach((item, i) => {
      const chosen = i === model.get("chosen");
      item.setAttribute("aria-selected", chosen);
      item.tabIndex = chosen ? 0 : -1;
    });
  }

  function choose(i) {
    model.set("chosen", i);
    model.save_changes();
    items()[i]?.focus();
  }

  root.onkeydown = (event) => {
    const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
    const count = items().length;
    if (!step || !count) return;
    event.preventDefault();
    choose((model.get("chosen") + step + count) % count);
  };

  model.on("msg:custom", show);
  model.on("change:chosen", mark);
  model.send({ type: "ready" });
  return () => {
    model.off("msg:custom", show);
    model.off("change:chosen", mark);
    urls.forEach((url) => URL.revokeObjectURL(url));
  };
}

export default { render };
