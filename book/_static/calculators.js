// Moves values between the fields of a calculator and Python, which runs in a worker and is loaded on first use.
let worker;
let count = 0;
const waiting = new Map();

function ask(name, texts) {
  if (!worker) {
    worker = new Worker(new URL(`calculators-worker.js${new URL(import.meta.url).search}`, import.meta.url), {
      type: "module",
    });
    worker.onmessage = ({ data }) => {
      waiting.get(data.id)(data);
      waiting.delete(data.id);
    };
    worker.onerror = () => {
      for (const done of waiting.values()) done({ failed: "its worker did not start" });
      waiting.clear();
      worker = undefined;
    };
  }
  count += 1;
  const id = count;
  return new Promise((done) => {
    waiting.set(id, done);
    worker.postMessage({ id, name, texts });
  });
}

function wake(box) {
  const name = box.dataset.calculator;
  const form = box.querySelector("form");
  const fields = [...form.querySelectorAll("[name]")];
  const [said, result, state] = ["answer", "result", "state"].map((part) => box.querySelector(`.calc-${part}`));
  const link = form.querySelector(".calc-link");
  const slider = (field) => field.closest(".calc-input").querySelector("[type=range]");
  const stops = (range) => JSON.parse(range.dataset.stops);
  let running = false;
  let again = false;
  let loaded = false;

  // The slider follows the field, as near as it can.
  function align(field) {
    const range = slider(field);
    if (!range) return;
    const value = Number(field.value);
    const distances = stops(range).map((stop) => Math.abs(stop - value));
    range.value = distances.indexOf(Math.min(...distances));
    range.setAttribute("aria-valuetext", `${field.value} ${box.querySelector(`#${field.id}-unit`).textContent}`);
  }

  function point() {
    const changed = fields.filter((field) => field.value !== field.dataset.default);
    const query = new URLSearchParams(changed.map((field) => [`${name}.${field.name}`, field.value]));
    link.href = `${changed.length ? `?${query}` : location.pathname}#${box.id}`;
  }

  function complain(error = "", about = "") {
    const all = form.querySelector(".calc-error-all");
    all.textContent = about ? "" : error;
    all.hidden = !all.textContent;
    for (const field of fields) {
      const note = box.querySelector(`#${field.id}-error`);
      note.textContent = field.name === about ? error : "";
      note.hidden = !note.textContent;
      field.setAttribute("aria-invalid", field.name === about);
    }
    box.classList.toggle("calc-stale", Boolean(error));
  }

  async function run() {
    if (running) {
      again = true;
      return;
    }
    running = true;
    if (!loaded) {
      state.textContent = "Python is loading …";
      box.classList.add("calc-loading"); // what is shown does not belong to these inputs yet
    }
    const texts = Object.fromEntries(fields.map((field) => [field.name, field.value]));
    const { answer, failed } = await ask(name, texts);
    running = false;
    if (again) {
      again = false;
      run();
      return;
    }
    box.classList.remove("calc-loading");
    if (failed) {
      state.textContent = `Python could not be loaded: ${failed}`;
      return;
    }
    loaded = true;
    box.dataset.answers = Number(box.dataset.answers ?? 0) + 1;
    complain(answer.error, answer.field);
    state.textContent = answer.error
      ? `No result: ${answer.error}`
      : "Computed in your browser, by the code that the lessons use.";
    if (answer.error) return;
    said.textContent = answer.said;
    result.innerHTML = answer.html;
    box.dataset.rows = JSON.stringify(answer.rows);
  }

  function changed() {
    point();
    run();
  }

  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("pointerdown", () => ask(), { once: true });
  form.addEventListener("input", ({ target }) => {
    if (target.type === "range") {
      const field = target.closest(".calc-input").querySelector("[name]");
      field.value = plain(stops(target)[target.value]);
      align(field);
    } else {
      align(target);
    }
    changed();
  });
  form.querySelector(".calc-reset").addEventListener("click", () => {
    for (const field of fields) {
      field.value = field.dataset.default;
      align(field);
    }
    changed();
  });
  link.addEventListener("click", async (event) => {
    event.preventDefault();
    history.replaceState(null, "", link.href);
    try {
      await navigator.clipboard.writeText(link.href);
      state.textContent = "The link is copied, and in the address bar.";
    } catch {
      state.textContent = "The link is in the address bar.";
    }
  });

  form.querySelector("fieldset").disabled = false;
  const wanted = new URLSearchParams(location.search);
  const given = fields.filter((field) => wanted.has(`${name}.${field.name}`));
  for (const field of given) {
    field.value = wanted.get(`${name}.${field.name}`);
    align(field);
  }
  if (given.length) changed();
}

// A number without an exponent, as Python writes the defaults.
function plain(number) {
  const text = String(number);
  return text.includes("e") ? number.toFixed(12).replace(/\.?0+$/, "") : text;
}

if (location.protocol.startsWith("http")) {
  for (const box of document.querySelectorAll(".calculator")) wake(box);
} else {
  for (const state of document.querySelectorAll(".calc-state"))
    state.textContent = "The calculators need a server: run make serve, or open the published book.";
}
