// Stands in for the Worker that the theme's search starts as each page opens: the search's program and its index weigh
// more than the page, so both wait until the reader turns to the search. A page that is opened as a file may start no
// worker; there the program runs in a frame. (The theme's plugin `offline` knows such a script by this file's name.)
// Material's search takes messages as events and sends a query as text; Zensical's sets handlers and sends an object.
(() => {
  const QUERY = 2;
  const SMALL = /(?<!\S)(?:an?|and|as|at|by|do|for|from|how|i|in|is|it|of|on|or|the|to|with)(?!\S)/gi;
  const SIGNS = /["`:;~^*()[\]{}<>=\\]|(?<!\S)[-+]+/g;
  // What is pasted holds signs that mean something to the search's program, such as quotes around a name of one's own,
  // without which it would find nothing. And it takes a word for the beginning of one: `a` for all that begins with it.
  const plain = (query) => {
    const words = query.replace(SIGNS, " ");
    const rest = words.replace(SMALL, "");
    return rest.trim() ? rest : words;
  };

  const opened = new URLSearchParams(location.search);
  const wanted = new Promise((resolve) => {
    if (opened.has("q") || opened.has("h")) resolve();
    for (const turned of ["focusin", "click"]) {
      addEventListener(turned, ({ target }) => target.closest(".md-search, [for=__search]") && resolve());
    }
  });

  const { open, send } = XMLHttpRequest.prototype;
  XMLHttpRequest.prototype.open = function (method, address, ...rest) {
    this.waits = /\/search(_index)?\.json$/.test(address);
    open.call(this, method, address, ...rest);
  };
  XMLHttpRequest.prototype.send = function (body) {
    if (this.waits) wanted.then(() => send.call(this, body));
    else send.call(this, body);
  };

  const startFrame = async (address) => {
    const frame = document.createElement("iframe");
    frame.hidden = true;
    document.body.append(frame);
    const inside = frame.contentWindow;
    const script = inside.document.createElement("script");
    script.src = new URL(address, location);
    await new Promise((resolve) => {
      script.onload = resolve;
      inside.document.body.append(script);
    });
    const worker = {
      // A worker is given a copy, which is its own to change.
      postMessage: (data) =>
        inside.dispatchEvent(new inside.MessageEvent("message", { data: structuredClone(data) })),
      terminate: () => frame.remove(),
    };
    inside.postMessage = (data) => worker.onmessage({ data });
    return worker;
  };

  const { Worker } = window;
  window.Worker = class extends EventTarget {
    constructor(address) {
      super();
      this.worker = wanted.then(async () => {
        const worker = location.protocol === "file:" ? await startFrame(address) : new Worker(address);
        worker.onmessage = ({ data }) => {
          const message = new MessageEvent("message", { data });
          this.dispatchEvent(message);
          this.onmessage?.(message);
        };
        worker.onerror = (error) => this.onerror?.(error);
        return worker;
      });
    }
    postMessage({ type, data }) {
      const asked = type === QUERY && typeof data === "string" ? plain(data) : data;
      this.worker.then((worker) => worker.postMessage({ type, data: asked }));
    }
    terminate() {
      this.worker.then((worker) => worker.terminate());
    }
  };
})();
