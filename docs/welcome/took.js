// How long a small answer takes, seen from here: the best of some.
const best = async () => {
  const took = [];
  for (let i = 0; i < 20; i++) {
    const begun = performance.now();
    await fetch("style.css", { cache: "no-store" });
    took.push(performance.now() - begun);
  }
  return Math.min(...took);
};
best().then((ms) => {
  document.getElementById("took").textContent =
    `A small file takes ${ms.toFixed(1)} ms from here and back, browser included.`;
});
