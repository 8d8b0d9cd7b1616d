// On a page that `make serve` shows: ask for the marks of its blocks, and put in those that have changed.
(() => {
  const place = document.querySelector("[data-proof-page]");
  // What stands there stays until a problem takes its place.
  place.proof = "";
  const address = `/.proof?page=${encodeURIComponent(place.dataset.proofPage)}`;
  const update = (marks) => {
    const taken = {};
    for (const element of document.querySelectorAll("[data-proof-key]")) {
      const key = element.dataset.proofKey;
      const known = marks[key] || [];
      const number = Math.min(taken[key] || 0, known.length - 1);
      taken[key] = number + 1;
      if (number >= 0 && element.proof !== known[number]) {
        element.innerHTML = element.proof = known[number];
      }
    }
    // Problems of the page as a whole belong to no block.
    const problems = (marks[""] || []).join("");
    if (place.proof !== problems) {
      place.innerHTML = place.proof = problems;
    }
  };
  const ask = async () => {
    try {
      update(await (await fetch(address)).json());
    } catch {
      // The site is being built again, or has ended: ask later.
    }
    setTimeout(ask, 250);
  };
  ask();
})();
