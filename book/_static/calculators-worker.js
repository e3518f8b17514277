// Runs costlab in Pyodide, away from the page so that it stays responsive. Messages: {id, name, texts} in, {id, answer}
// or {id, failed} out; without a name it only loads.
const here = new URL(self.location.href);
const runtime = new URL(`${here.searchParams.get("runtime")}/`, here).href;
const core = new URL(`calculators.zip?v=${here.searchParams.get("v")}`, here).href;
let loading;

async function load() {
  const archive = fetch(core).then((reply) => {
    if (!reply.ok) throw new Error(`${core}: ${reply.status}`);
    return reply.arrayBuffer();
  });
  const { loadPyodide } = await import(`${runtime}pyodide.mjs`);
  const python = await loadPyodide({ indexURL: runtime });
  python.FS.writeFile("/core.zip", new Uint8Array(await archive));
  python.runPython('import sys; sys.path.insert(0, "/core.zip")');
  return python.pyimport("costlab.lessons.calculators").answer_json;
}

self.onmessage = async ({ data: { id, name, texts } }) => {
  try {
    loading ??= load();
    const answer = await loading;
    self.postMessage({ id, answer: name ? JSON.parse(answer(name, JSON.stringify(texts))) : {} });
  } catch (error) {
    loading = undefined;
    self.postMessage({ id, failed: String(error.message ?? error) });
  }
};
