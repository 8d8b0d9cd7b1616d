(() => {
  // A session is copied without its prompts and without what was printed.
  const sessions = {
    console: [/^\$ /, /^> ?/],
    pycon: [/^>>> ?/, /^\.\.\.( |$)/],
  };
  for (const [language, [first, next]] of Object.entries(sessions)) {
    for (const code of document.querySelectorAll(`.language-${language} code`)) {
      let typed = false;
      const lines = [];
      for (const line of code.textContent.split("\n")) {
        const prompt = first.test(line) ? first : typed && next.test(line) && next;
        typed = Boolean(prompt);
        if (typed) lines.push(line.replace(prompt, ""));
      }
      if (lines.length) code.dataset.copy = lines.join("\n");
    }
  }

  // Tables that can be filtered: by words, and by who waits if a column says so. On a phone their rows are cards.
  for (const place of document.querySelectorAll("[data-filter]")) {
    const names = [...place.querySelectorAll("th")].map((head) => head.textContent.trim());
    const rows = [...place.querySelectorAll("tbody tr")];
    for (const row of rows) {
      [...row.cells].forEach((cell, number) => number && (cell.dataset.name = names[number]));
    }
    const bar = document.createElement("div");
    bar.className = "filter";
    bar.setAttribute("role", "search");
    bar.setAttribute("aria-label", `Filter ${place.dataset.filter}`);
    bar.innerHTML = `<label>Filter <input type="search"></label><span role="status"></span>`;
    const [input, status] = [bar.querySelector("input"), bar.querySelector("span")];
    const column = names.indexOf("Who waits");
    const waits = (row) => row.cells[column].textContent.trim().match(/^\w+/)[0];
    const select = document.createElement("select");
    if (column >= 0) {
      const kinds = [...new Set(rows.map(waits))];
      select.innerHTML = ["anybody", ...kinds].map((kind) => `<option>${kind}</option>`).join("");
      const label = document.createElement("label");
      label.append("Who waits ", select);
      bar.insertBefore(label, status);
    }
    const filter = () => {
      const words = input.value.toLowerCase().split(/\s+/);
      for (const row of rows) {
        const text = row.textContent.toLowerCase();
        const kind = column < 0 || select.selectedIndex === 0 || waits(row) === select.value;
        row.hidden = !kind || !words.every((word) => text.includes(word));
      }
      status.textContent = `${rows.filter((row) => !row.hidden).length} of ${rows.length} ${place.dataset.filter}`;
    };
    bar.addEventListener("input", filter);
    filter();
    place.prepend(bar);
  }

  // The page that is open is in view in the navigation.
  const open = document.querySelector(".md-sidebar--primary .md-nav__link--active:not(label)");
  const sidebar = open && open.closest(".md-sidebar__scrollwrap");
  if (sidebar && open.offsetTop) sidebar.scrollTop = open.getBoundingClientRect().top - sidebar.getBoundingClientRect().top - 120;

  // A frame around the buttons of a block is no part of the navigation.
  new MutationObserver(() => {
    for (const frame of document.querySelectorAll(".md-code__nav:not([role])")) frame.setAttribute("role", "none");
  }).observe(document.body, { childList: true, subtree: true });

  // The theme's buttons are labels of hidden checkboxes: a keyboard operates them too. In a narrow window there are more,
  // which lead from a list of the navigation to the next and back.
  const drawer = document.getElementById("__drawer");
  const menu = document.querySelector('.md-header [for="__drawer"]');
  const labels = [...document.querySelectorAll('.md-nav--primary [for^="__nav"], .md-nav--primary [for="__toc"]')];
  const narrow = matchMedia("(max-width: 76.2344em)");
  const offer = () => {
    menu.setAttribute("aria-expanded", drawer.checked);
    for (const label of labels) {
      if (narrow.matches) {
        label.role = "button";
        label.tabIndex = 0;
        label.setAttribute("aria-expanded", label.control.checked);
      } else if (label.role) {
        for (const name of ["role", "tabindex", "aria-expanded"]) label.removeAttribute(name);
      }
    }
  };
  offer();
  narrow.addEventListener("change", offer);
  addEventListener("change", ({ target }) => {
    offer();
    if (target === drawer) (drawer.checked ? document.querySelector(".md-sidebar--primary a") : menu).focus();
  });
  addEventListener(
    "keydown",
    (event) => {
      const { key, target } = event;
      if (target.matches('label[role="button"]') && (key === " " || key === "Enter")) {
        event.preventDefault();
        // The theme clicks a label itself at Enter.
        event.stopImmediatePropagation();
        target.click();
      }
      if (key === "Escape" && drawer.checked) menu.click();
    },
    true,
  );
})();
