/**
 * The order in which modules must be loaded so that each finds what it needs.
 * @param modulesDep text of `modules.dep` (depmod(8)): `path: needed needed …`, the nearest need
 *   first
 * @param wanted names of modules; one that is not in `modules.dep` is built into the kernel and
 *   left out
 * @returns paths as `modules.dep` names them, dependencies first, each once
 */
export function loadOrder(modulesDep: string, wanted: readonly string[]): string[] {
  const needs = new Map<string, { path: string; needs: string[] }>();
  for (const line of modulesDep.split('\n')) {
    const colon = line.indexOf(':');
    if (colon <= 0) continue;
    const path = line.slice(0, colon);
    needs.set(moduleName(path), {
      path,
      needs: line
        .slice(colon + 1)
        .split(' ')
        .filter(Boolean)
        .map(moduleName),
    });
  }
  const order: string[] = [];
  const seen = new Set<string>();
  const visit = (name: string): void => {
    const entry = needs.get(name);
    if (entry === undefined || seen.has(name)) return;
    seen.add(name);
    for (const need of entry.needs.toReversed()) visit(need);
    order.push(entry.path);
  };
  for (const name of wanted) visit(normal(name));
  return order;
}

/** Dashes and underscores are the same in a module's name. */
function normal(name: string): string {
  return name.replaceAll('-', '_');
}

function moduleName(path: string): string {
  const base = path.slice(path.lastIndexOf('/') + 1);
  return normal(base.replace(/\.ko(\.(xz|zst|gz))?$/, ''));
}
