/* Asks for a guess above each folded answer, and compares. Without it the answers still unfold; see predictions.py. */

/* As costlab.lessons.reveal says it. */
function distance(guess, computed) {
  if (guess === computed) {
    return "right";
  }
  if (guess * computed <= 0) {
    return guess * computed < 0 ? "not even the same sign" : "far off";
  }
  const ratio = Math.max(guess / computed, computed / guess);
  if (ratio < 1.1) {
    return "within 10 %: well guessed";
  }
  return `${ratio.toFixed(1)} times too ${Math.abs(guess) > Math.abs(computed) ? "high" : "low"}`;
}

function number(text) {
  const plain = text.replace(/[,\s$%]/g, "");
  return plain === "" ? NaN : Number(plain);
}

function element(name, properties, ...children) {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
}

function ask(folded) {
  const { computed, unit } = folded.dataset;
  const field = element("input", { type: "text", inputMode: "decimal", autocomplete: "off" });
  const said = element("p", { className: "compared" });
  said.setAttribute("role", "status");
  const form = element(
    "form",
    { className: "guess", noValidate: true },
    element("label", {}, "Your guess: ", field, ` ${unit}`),
    " ",
    element("button", { type: "submit" }, "Compare"),
  );
  folded.querySelector("summary").textContent = "Show the answer without a guess";
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const guess = number(field.value);
    const none = !Number.isFinite(guess);
    field.setAttribute("aria-invalid", String(none));
    said.textContent = none
      ? "That is not a number."
      : `You said ${field.value.trim()}, it is ${computed} ${unit}: ${distance(guess, number(computed))}.`;
    if (!none) {
      folded.open = true;
    }
  });
  folded.addEventListener("toggle", () => {
    folded.querySelector("summary").textContent = folded.open ? "Hide the answer" : "Show the answer";
  });
  folded.before(form, said);
}

document.querySelectorAll("details.prediction").forEach(ask);
addEventListener("beforeprint", () => {
  document.querySelectorAll("details.prediction").forEach((folded) => {
    folded.open = true;
  });
});
