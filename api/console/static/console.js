// What a browser adds to pages that work without it: the dialog, live validation, copying, and times in the reader's zone.
"use strict";

(() => {
  const dialog = document.getElementById("dialog");

  // --- times: UTC as it was sent stays on hover ----------------------------------------------------------------------

  const formats = {
    moment: new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" }),
    day: new Intl.DateTimeFormat(undefined, { dateStyle: "medium" }),
    date: new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeZone: "UTC" }), // the same in every zone
  };

  const showTimes = (root) => {
    for (const time of root.querySelectorAll("time[data-precision]")) {
      time.textContent = formats[time.dataset.precision].format(new Date(time.dateTime));
      delete time.dataset.precision;
    }
  };

  // A field for a date and time is in the reader's zone, like every time around it; what is sent and comes back is UTC.
  // One for a day is the reader's day: what is sent is where it begins or, of the last day, where the next one does.
  const showMoment = (input, moment) => {
    if (!Number.isNaN(moment.valueOf())) input.valueAsNumber = moment - moment.getTimezoneOffset() * 60_000;
  };

  const showMoments = (root) => {
    for (const input of root.querySelectorAll("input[data-utc]")) {
      showMoment(input, new Date(`${input.defaultValue}Z`));
      delete input.dataset.utc;
    }
    for (const input of root.querySelectorAll("input[data-moment]")) {
      const moment = new Date(input.dataset.moment);
      showMoment(input, input.dataset.day === "last" ? new Date(moment - 1) : moment);
      delete input.dataset.moment;
    }
  };

  const edgeOf = (input) => {
    const midnight = new Date(`${input.value}T00:00`);
    if (input.dataset.day === "last") midnight.setDate(midnight.getDate() + 1); // not every day has 24 hours
    return midnight;
  };

  document.addEventListener("formdata", (event) => {
    for (const input of event.target.querySelectorAll("input[type=datetime-local], input[data-day]")) {
      const moment = input.dataset.day ? edgeOf(input) : new Date(input.value);
      if (input.value) event.formData.set(input.name, moment.toISOString());
    }
  });

  // --- forms: the button is ready when the form is --------------------------------------------------------------------

  const field = (form, name) => form.elements.namedItem(name)?.value;

  // Parts that belong to one choice only, and permissions that the chosen mode does not have, are neither shown nor sent.
  const follow = (form) => {
    for (const part of form.querySelectorAll("[data-when]")) {
      const [name, value] = part.dataset.when.split("=");
      part.hidden = part.disabled = field(form, name) !== value;
      for (const input of part.querySelectorAll("[data-required]")) input.required = true;
    }
    const mode = field(form, "mode");
    for (const label of form.querySelectorAll("[data-modes]")) {
      const offered = !mode || label.dataset.modes.split(" ").includes(mode);
      label.hidden = !offered;
      label.querySelector("input").disabled = !offered;
    }
  };

  // A preset sets every group. One permission that is switched marks its group, and the whole, by what they are then.
  const offered = (part) => [...part.querySelectorAll("[name=scopes]:not(:disabled)")];
  const holds = (preset, box) => preset.dataset.actions.split(" ").includes(box.value.slice(box.value.lastIndexOf(":") + 1));
  const fits = (preset, boxes) => boxes.every((box) => box.checked === holds(preset, box));

  const applyPreset = (form) => {
    const preset = form.querySelector("[name=preset][data-actions]:checked");
    if (preset) for (const box of offered(form)) box.checked = holds(preset, box);
  };

  const markPresets = (form) => {
    const presets = [...form.querySelectorAll("[name=preset][data-actions]")];
    const custom = form.querySelector("[name=preset]:not([data-actions])");
    if (!custom) return;
    const some = (boxes) => boxes.some((box) => box.checked);
    const whole = some(offered(form)) ? presets.find((preset) => fits(preset, offered(form))) : undefined;
    if (some(offered(form)) || presets.some((preset) => preset.checked)) (whole ?? custom).checked = true;
    for (const group of form.querySelectorAll("[data-group]")) {
      const boxes = offered(group);
      const called = whole && fits(whole, boxes) ? whole : (presets.find((preset) => fits(preset, boxes)) ?? custom);
      const name = group.querySelector("output");
      const words = some(boxes) ? called.dataset.called : name.dataset.none;
      if (name.textContent !== words) name.textContent = words; // it is read out when it changes, and only then
    }
  };

  const isMissing = (form, name) =>
    form.querySelector(`[data-one-of="${name}"]:not([hidden])`) && !form.querySelector(`[name="${name}"]:checked:not(:disabled)`);

  const isComplete = (form) =>
    form.checkValidity() &&
    [...form.querySelectorAll("[data-one-of]")].every((part) => !isMissing(form, part.dataset.oneOf));

  const refresh = (form) => {
    follow(form);
    for (const input of form.querySelectorAll("[data-equals]")) {
      const equals = input.value.trim() === input.dataset.equals;
      input.setCustomValidity(equals ? "" : `Type ${input.dataset.equals} to confirm.`);
    }
    for (const note of form.querySelectorAll("[data-missing]")) note.hidden = !isMissing(form, note.dataset.missing);
    for (const button of form.querySelectorAll("[type=submit]")) button.disabled = !isComplete(form);
  };

  // What is wrong with a field is said beside it once it is left, where the service says it of a form that was sent.
  const explain = (input) => {
    const place = input.closest(".field"), id = `${input.id}-error`;
    if (!place || !input.id) return; // of a group there is nothing to say: a choice cannot be wrong
    const words = input.validity.patternMismatch ? input.dataset.expected : input.validationMessage;
    const others = (input.getAttribute("aria-describedby") ?? "").split(" ").filter((other) => other && other !== id);
    place.querySelector(`#${id}`)?.remove();
    input.removeAttribute("aria-invalid");
    if (words) {
      const error = document.createElement("div");
      Object.assign(error, { id, className: "error", textContent: words });
      error.setAttribute("role", "alert");
      place.append(error);
      input.setAttribute("aria-invalid", "true");
      others.unshift(id);
    }
    input.setAttribute("aria-describedby", others.join(" "));
  };

  document.addEventListener("change", (event) => {
    if (event.target.closest?.("form[data-complete]")) explain(event.target);
  });

  document.addEventListener("input", (event) => {
    const form = event.target.closest?.("form[data-complete]");
    if (!form) return;
    follow(form);
    if (["preset", "mode"].includes(event.target.name)) applyPreset(form);
    if (!event.target.matches("[name=preset][value=custom]")) markPresets(form);
    refresh(form);
    if (event.target.matches("[aria-invalid=true]") && event.target.validity.valid) explain(event.target);
  });

  // A form that goes on to another page goes once. htmx sees to its own, which it keeps from being sent by the browser.
  document.addEventListener("submit", (event) => {
    if (event.target.method === "post" && !event.defaultPrevented && event.submitter) event.submitter.disabled = true;
  });

  // --- the dialog -----------------------------------------------------------------------------------------------------

  // A secret that was not stored would be lost, and so would one that a form under way is answered with.
  const mustStay = () => dialog.querySelector("[data-shows-secret], form.htmx-request") !== null;

  dialog?.addEventListener("cancel", (event) => {
    if (mustStay()) event.preventDefault();
  });
  let opener = null;
  dialog?.addEventListener("close", () => {
    if (mustStay()) return dialog.showModal(); // a browser closes it in the end where Escape is pressed again and again
    dialog.replaceChildren();
    // The focus goes back to the link by itself, but not to one in a menu that has closed: to the menu's button then.
    const menu = opener?.closest("[popover]");
    if (menu && document.activeElement === document.body) document.querySelector(`[popovertarget="${menu.id}"]`)?.focus();
  });

  document.addEventListener("click", (event) => {
    const button = event.target.closest?.("button");
    if (button?.hasAttribute("data-close") && !mustStay()) dialog.close();
    if (button?.hasAttribute("data-copy")) copy(button);
  });

  // --- secrets ----------------------------------------------------------------------------------------------------------

  const copy = async (button) => {
    const words = button.querySelector("span");
    try {
      await navigator.clipboard.writeText(document.getElementById(button.dataset.copy).textContent);
      words.textContent = "Copied";
    } catch {
      words.textContent = "Select it";
      getSelection().selectAllChildren(document.getElementById(button.dataset.copy));
    }
    setTimeout(() => { words.textContent = "Copy"; }, 2000);
  };

  // The answer to a form can come between the two clicks of a double click: the second one is not meant for what it finds.
  document.addEventListener("click", (event) => {
    if (event.detail > 1 && event.target.closest?.("[data-shows-secret] form")) event.preventDefault();
  });

  // Nobody leaves a secret that was not stored without being asked.
  let stored = false;
  document.addEventListener("submit", (event) => { stored ||= event.target.closest("[data-shows-secret]") !== null; });
  addEventListener("beforeunload", (event) => {
    if (!stored && document.querySelector("[data-shows-secret]")) event.preventDefault();
  });

  // A page that is left is kept by the browser for its Back button: not with a secret in it, and not with old data.
  addEventListener("pagehide", () => {
    for (const secret of document.querySelectorAll("[data-secret]")) secret.textContent = "";
  });
  addEventListener("pageshow", (event) => { if (event.persisted) location.reload(); });

  // --- what htmx does, and what can go wrong with it -----------------------------------------------------------------------

  const say = (from, words) => {
    const place = from.querySelector?.("[data-notice]") ?? document.querySelector("dialog[open] [data-notice], main > [data-notice]");
    if (!place) return;
    const notice = document.createElement("div");
    notice.className = "notice notice-error";
    notice.setAttribute("role", "alert");
    notice.textContent = words;
    place.replaceChildren(notice);
    notice.scrollIntoView({ block: "nearest" });
  };

  document.addEventListener("htmx:configRequest", (event) => {
    if (event.detail.verb !== "get") return;
    for (const [name, value] of [...event.detail.formData]) if (value === "") event.detail.formData.delete(name, value);
  });
  // What is fetched as a file leaves the page as it is: a moment later it looks at how far that has come, and again where
  // a busy service had not begun by then.
  document.addEventListener("click", (event) => {
    if (!event.target.closest?.("a[data-fetches]")) return;
    for (const wait of [1_500, 5_000, 15_000]) setTimeout(() => document.body.dispatchEvent(new Event("fetching")), wait);
  });

  // Who typed has lost nothing by it. What looked by itself has stopped, and is left to the reader.
  const unanswered = (event, words) => {
    const asking = event.detail.requestConfig.elt;
    const again = asking.querySelector("[data-look-again]");
    if (again) again.hidden = false;
    const typed = asking.matches("form[method=post]") ? "What you typed is still here: try again." : "Try again.";
    say(asking, again ? words : `${words} ${typed}`);
  };
  document.addEventListener("htmx:sendError", (event) => unanswered(event, "No connection."));
  document.addEventListener("htmx:timeout", (event) => unanswered(event, "The service did not answer."));
  let unfolded = []; // what the reader opened in a part of the page that looks by itself
  document.addEventListener("htmx:beforeSwap", (event) => {
    const { requestConfig, target, xhr } = event.detail;
    unfolded = [...target.querySelectorAll("details[open] > summary[id]")].map((summary) => summary.id);
    if (xhr.status < 500) return;
    const ours = xhr.getResponseHeader("X-Request-Id") !== null; // and not a proxy's page
    if (ours && (target === dialog || requestConfig.verb === "post")) return; // it says so in its place
    event.detail.shouldSwap = false;
    unanswered(event, ours ? "Something went wrong." : "The service cannot be reached.");
  });

  // To what is wrong, or to where something is to be typed or copied. A group is its first choice.
  const focusIn = (root) => {
    const wrong = root.querySelector("[aria-invalid=true]");
    const first = wrong?.matches("fieldset") ? wrong.querySelector("input:enabled") : wrong;
    const next = root.querySelector("form[method=post] :is(input:not([type=hidden]), select, textarea), [data-copy]");
    (first ?? next ?? root).focus();
    wrong?.closest(".field")?.scrollIntoView({ block: "nearest" }); // with what is wrong with it, which stands beneath
  };

  const begin = (root) => {
    showTimes(root);
    showMoments(root);
    for (const form of root.querySelectorAll("form[data-complete]")) {
      follow(form);
      if (!form.querySelector("[name=scopes]:checked")) applyPreset(form);
      markPresets(form);
      refresh(form);
    }
    for (const button of root.querySelectorAll("[data-copy]")) button.hidden = false;
    for (const part of root.querySelectorAll("[data-without-script]")) part.hidden = true;
  };

  // Whoever cannot see that the list was exchanged is told how long it is now, and the focus stays by it.
  const listed = (results) => {
    document.getElementById("shown").textContent = `${results.dataset.shown} shown`;
    if (document.activeElement === document.body) results.querySelector("#first-page")?.focus({ preventScroll: true });
  };

  document.addEventListener("htmx:afterSwap", (event) => {
    const target = event.detail.target;
    const fresh = target.querySelector("[data-fresh-token]");
    if (fresh) for (const token of document.querySelectorAll("input[name=csrf]")) token.value = fresh.dataset.freshToken;
    begin(document);
    for (const id of unfolded) document.getElementById(id)?.parentElement.setAttribute("open", "");
    if (target === dialog) {
      if (!dialog.open) {
        opener = event.detail.requestConfig.elt;
        dialog.showModal();
      }
      dialog.scrollTop = 0;
      focusIn(dialog);
    } else if (target.matches("[data-notice]")) {
      target.scrollIntoView({ block: "nearest" });
    } else if (target.id === "results") {
      const results = document.getElementById("results");
      if (results.dataset.shown) listed(results);
    } else if (target.id === "main") {
      scrollTo(0, 0);
      focusIn(document.getElementById("main"));
    }
  });

  begin(document);
  const address = new URL(location.href);
  if (address.searchParams.has("done")) {
    address.searchParams.delete("done"); // said once; a reload does not say it again
    history.replaceState(history.state, "", address);
  }
})();
