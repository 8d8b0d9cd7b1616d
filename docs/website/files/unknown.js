// The page for unknown addresses answers at any depth, and a site without an address of its own lies at any path. So
// the links of this page start from a `base` element, and this finds where the site begins.
const base = document.currentScript.previousElementSibling;
const begins = (path) => {
  const request = new XMLHttpRequest();
  request.open("HEAD", `${path}sitemap.xml`, false);
  request.send();
  return request.status === 200;
};
let path = location.pathname;
do path = path.replace(/[^/]*\/?$/, "");
while (path !== "/" && !begins(path));
base.href = path;
