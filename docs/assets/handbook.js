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
