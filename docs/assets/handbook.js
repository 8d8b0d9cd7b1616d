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

// The theme's buttons for the navigation and the search are labels of hidden checkboxes: a keyboard operates them too.
const drawer = document.getElementById("__drawer");
const menu = document.querySelector('.md-header [for="__drawer"]');
const follow = () => menu.setAttribute("aria-expanded", drawer.checked);
follow();
drawer.addEventListener("change", () => {
  follow();
  (drawer.checked ? document.querySelector(".md-sidebar--primary a") : menu).focus();
});
addEventListener("keydown", (event) => {
  const { key, target } = event;
  if (target.matches('label[role="button"]') && (key === " " || key === "Enter")) {
    event.preventDefault();
    // The theme clicks a label itself at Enter.
    event.stopImmediatePropagation();
    target.click();
  }
  if (key === "Escape" && drawer.checked) menu.click();
}, true);
