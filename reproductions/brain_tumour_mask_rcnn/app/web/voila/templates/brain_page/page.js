// What the widgets cannot do by themselves: names and roles for screen readers, one upload at a time, the link between
// rows and outlines, files to take away, and a word where the tab's process or the server has gone.
(() => {
  "use strict";
  const LOOK = 4000, ANSWER = 90000, SHOWN = 60000; // milliseconds
  const ALONE = { // said before the page has sent its own words
    gone_tab: "Bu sekmenin süreci sona erdi; sayfayı yenileyin. / The process of this tab has ended; reload the page.",
    gone_server: "Sayfanın sunucusuna ulaşılamıyor; “make brain-ui” ile yeniden başlatın. / "
      + "The page's server cannot be reached; start it again with “make brain-ui”.",
    gone_address: "Sayfa yeniden başlatılmış; terminaldeki yeni adresi açın. / "
      + "The page has been restarted; open the new address in the terminal.",
    no_answer: "Henüz yanıt yok; bekleyin ya da sayfayı yenileyin. / No answer yet; wait, or reload the page.",
    slow: "Sayfa hâlâ açılmadı; bilgisayar meşgul olabilir. Bekleyin ya da sayfayı yenileyin. / "
      + "The page has not opened yet; the computer may be busy. Wait, or reload the page.",
    reload: "Sayfayı yenile / Reload the page",
  };
  let words = { ...ALONE, received: 0 };
  let picked = null;   // number of the finding that is highlighted for good
  let lastFile = "0";  // that was handed to the browser
  let leaving = false;

  const all = (selector) => document.querySelectorAll(selector);
  const each = (selector, change) => all(selector).forEach(change);
  const set = (element, attributes) => {
    for (const [name, value] of Object.entries(attributes)) {
      if (element.getAttribute(name) !== String(value)) element.setAttribute(name, value);
    }
  };

  // Trouble: a sentence and a way on.
  function trouble(key, name) {
    const box = document.getElementById("trouble");
    if (box.dataset.key === key || leaving) return;
    box.dataset.key = key;
    box.textContent = words[key].replace("{name}", name || "");
    if (key !== "gone_server" && key !== "gone_address") {
      const again = document.createElement("button");
      again.textContent = words.reload;
      again.addEventListener("click", () => location.reload());
      box.append(" ", again);
    }
    box.hidden = false;
    document.getElementById("loading")?.remove();
  }

  function calm(...keys) {
    const box = document.getElementById("trouble");
    if (keys.includes(box.dataset.key)) { box.hidden = true; delete box.dataset.key; }
  }

  let missed = 0;
  async function look() {
    const config = document.getElementById("jupyter-config-data");
    const id = config && JSON.parse(config.textContent).kernelId;
    if (id && !leaving) {
      try {
        const answer = await fetch("/state/" + id, { cache: "no-store" });
        missed = 0;
        if (answer.status === 403) trouble("gone_address");
        else if (!answer.ok || !(await answer.json()).running) trouble("gone_tab");
        else calm("gone_server");
      } catch (error) {
        if (++missed > 1) trouble("gone_server");
      }
    }
    setTimeout(look, LOOK);
  }
  setTimeout(look, LOOK);
  setTimeout(() => { if (!document.querySelector(".bt-page")) trouble("slow"); }, SHOWN);

  // The goodbye of a tab has to carry the token that shows it is this page's own.
  const beacon = navigator.sendBeacon.bind(navigator);
  navigator.sendBeacon = (url, data) => {
    const token = document.cookie.match(/(?:^|; )_xsrf=([^;]*)/);
    return beacon(url + (token ? "?_xsrf=" + encodeURIComponent(token[1]) : ""), data);
  };
  addEventListener("beforeunload", () => { leaving = true; setTimeout(() => { leaving = false; }, 3000); });
  addEventListener("pageshow", (event) => { if (event.persisted) location.reload(); });

  // Names, roles and values.
  function name() {
    set(document.documentElement, { lang: words.code });
    if (document.title !== words.title) document.title = words.title;
    const labels = {
      ".bt-controls": { role: "region", "aria-label": words.controls },
      ".bt-result": { role: "region", "aria-label": words.result },
      ".bt-head .widget-toggle-buttons": { role: "group", "aria-label": words.language },
      ".bt-notice": { role: "note" }, ".bt-head": { role: "banner" }, ".bt-main": { role: "main" },
      ".bt-footer": { role: "contentinfo" },
      ".bt-status .widget-html-content": { role: "status", "aria-live": "polite" },
      ".bt-alert .widget-html-content": { role: "alert" },
      ".widget-upload": { "aria-label": words.upload },
      ".bt-list select": { "aria-label": words.list },
      ".bt-downloads": { role: "group", "aria-label": words.downloads },
      ".noUi-handle": { "aria-label": words.threshold, "aria-valuetext": words.value_text, "aria-valuenow": words.value,
        "aria-valuemin": words.lowest, "aria-valuemax": words.highest },
      ".bt-words, .bt-handout": { "aria-hidden": "true" },
    };
    for (const [selector, attributes] of Object.entries(labels)) each(selector, (e) => set(e, attributes));
    each(".bt-head .widget-toggle-button", (button) => {
      set(button, { "aria-pressed": button.classList.contains("mod-active") });
      set(button, { lang: button.textContent.trim() === "English" ? "en" : "tr" });
      button.removeAttribute("title");
    });
  }

  // The widgets bring their own style along; the page's has the last word.
  function dress() {
    const style = document.getElementById("bt-style");
    if (document.querySelector(".bt-page") && style !== document.head.lastElementChild) document.head.append(style);
  }

  function listen() {
    dress();
    const told = document.querySelector(".bt-words [data-words]");
    if (told) {
      calm("slow");
      const said = JSON.parse(told.dataset.words);
      if (reminded && said.code !== words.code) {
        try { localStorage.setItem("brain-ui-language", said.code); } catch (error) { /* not kept */ }
      }
      words = { ...ALONE, ...said };
      name();
    }
    hand_over();
    highlight();
  }

  // The language chosen last is taken up again.
  let reminded = false;
  function remind() {
    const buttons = all(".bt-head .widget-toggle-button");
    if (reminded || !buttons.length || !document.querySelector(".bt-words [data-words]")) return;
    reminded = true;
    let kept = null;
    try { kept = localStorage.getItem("brain-ui-language"); } catch (error) { /* none */ }
    if (kept === "en" && words.code !== "en") buttons[1].click();
  }

  // Files to take away.
  function hand_over() {
    const link = document.querySelector(".bt-handout a[data-file]");
    if (link && link.dataset.file !== lastFile) { lastFile = link.dataset.file; link.click(); }
  }

  // A row and its outline belong together.
  function highlight(hovered) {
    const number = hovered || picked;
    each(".bt-finding, .bt-label, .bt-findings tr[data-number]", (e) => {
      e.classList.toggle("bt-lit", e.dataset.number === number);
    });
    each(".bt-view", (e) => e.classList.toggle("bt-dims", number !== null
      && document.querySelector(".bt-finding[data-number='" + number + "']") !== null));
    each(".bt-pick", (e) => set(e, { "aria-pressed": e.dataset.number === picked }));
  }
  const number_of = (event) => event.target.closest?.("[data-number]")?.dataset.number;
  addEventListener("mouseover", (event) => highlight(number_of(event)));
  addEventListener("focusin", (event) => highlight(number_of(event)));
  addEventListener("click", (event) => {
    const number = number_of(event);
    if (!number) return;
    picked = picked === number ? null : number;
    highlight();
    if (event.target.closest(".bt-view")) {
      document.querySelector(".bt-pick[data-number='" + number + "']")?.focus({ preventScroll: true });
    }
  });

  // Files go to the tab's process one at a time, the next one when the last was answered. Of a file that is too large
  // it gets no more than name and size.
  const read = FileReader.prototype.readAsArrayBuffer;
  FileReader.prototype.readAsArrayBuffer = function (file) {
    return read.call(this, file.size > words.megabytes * 1048576 ? file.slice(0, 0) : file);
  };
  const ours = new WeakSet(); // events that this script has made
  const pause = (time) => new Promise((done) => setTimeout(done, time));
  let queue = Promise.resolve(), chooser = null, opens = true;
  async function send(file) {
    const before = words.received, single = new DataTransfer(), change = new Event("change", { bubbles: true });
    single.items.add(file);
    chooser.files = single.files;
    ours.add(change);
    chooser.dispatchEvent(change);
    const late = setTimeout(() => trouble("no_answer", file.name), ANSWER);
    while (words.received === before) await pause(50);
    clearTimeout(late);
    calm("no_answer");
  }
  function send_all(files) {
    picked = null;
    for (const file of [...files]) queue = queue.then(() => send(file));
  }
  // The widget's file chooser is not part of the document: it is met when it is opened first.
  const open_chooser = HTMLInputElement.prototype.click;
  HTMLInputElement.prototype.click = function () {
    if (this.type === "file" && this !== chooser) {
      chooser = this;
      chooser.addEventListener("change", (event) => {
        if (ours.has(event)) return;
        event.stopImmediatePropagation();
        send_all(chooser.files);
      }, true);
    }
    if (this.type !== "file" || opens) open_chooser.call(this);
  };
  addEventListener("dragover", (event) => event.preventDefault());
  addEventListener("drop", (event) => {
    event.preventDefault();
    opens = false;
    document.querySelector(".widget-upload")?.click();
    opens = true;
    if (chooser) send_all(event.dataTransfer.files);
  });

  let due = false;
  new MutationObserver(() => {
    if (due) return;
    due = true;
    setTimeout(() => { due = false; listen(); remind(); }, 0); // a hidden tab draws no frames
  }).observe(document.documentElement, { childList: true, subtree: true, attributes: true,
    attributeFilter: ["data-words", "class", "aria-valuenow"] });
})();
