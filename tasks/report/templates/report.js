  // The page is whole without this: it adds sorting, searching, and details that are open on paper.
  const table = document.getElementById("fleet"), body = table.tBodies[0], given = [...body.rows];
  const heads = [...table.tHead.rows[0].cells], edges = given.filter((row) => row.classList.contains("edge"));
  const found = document.getElementById("found"), search = document.getElementById("search");
  const value = (row, at) => { const key = row.cells[at].dataset.key; return key === "" || isNaN(key) ? key : Number(key); };

  const devices = given.filter((row) => !edges.includes(row));

  function sort(at) {
    const up = heads[at].getAttribute("aria-sort") === "ascending";
    heads.forEach((head) => head.removeAttribute("aria-sort"));
    heads[at].setAttribute("aria-sort", up ? "descending" : "ascending");
    const rows = [...devices];
    rows.sort((a, b) => { const x = value(a, at), y = value(b, at); return (x < y ? -1 : x > y) * (up ? -1 : 1); });
    body.replaceChildren(...rows);
  }
  const detail = (row) => document.getElementById("of-" + row.cells[0].textContent);
  const texts = new Map(devices.map((row) => [row, (row.textContent + " " + detail(row).textContent).toLowerCase()]));
  function filter() {
    const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    for (const row of devices) row.hidden = detail(row).hidden = !words.every((word) => texts.get(row).includes(word));
    for (const row of edges) row.hidden = devices.every((d) => d.hidden || d.dataset.edge !== row.dataset.edge);
    found.textContent = devices.filter((row) => !row.hidden).length + " of " + devices.length + " devices";
  }
  heads.forEach((head, at) => {
    const button = document.createElement("button");
    button.append(...head.childNodes);
    button.addEventListener("click", () => sort(at));
    head.append(button);
  });
  document.getElementById("grouped").addEventListener("click", () => {
    heads.forEach((head) => head.removeAttribute("aria-sort"));
    body.replaceChildren(...given);
  });
  search.addEventListener("input", filter);
  document.querySelector(".search").hidden = false;
  filter();

  const open = (id) => { const one = id && document.getElementById(id); if (one instanceof HTMLDetailsElement) one.open = true; };
  window.addEventListener("hashchange", () => open(location.hash.slice(1)));
  open(location.hash.slice(1));
  const closed = () => document.querySelectorAll("details:not([open])");
  let opened = [];
  window.addEventListener("beforeprint", () => { opened = [...closed()]; opened.forEach((one) => { one.open = true; }); });
  window.addEventListener("afterprint", () => { opened.forEach((one) => { one.open = false; }); });
