import { Refusal } from '../../core/refusal/index.ts';

/**
 * Names of the apps of a pod, each after those that it waits for, and otherwise as in the manifest.
 *
 * @throws Refusal `pod-manifest-invalid` when an app waits for one that is not in the pod, or apps
 *   wait for each other
 */
export function startOrder(
  apps: readonly { readonly name: string; readonly after: readonly string[] }[],
): readonly string[] {
  const names = new Set(apps.map(({ name }) => name));
  for (const { name, after } of apps) {
    const missing = after.find((other) => !names.has(other));
    if (missing === undefined) continue;
    throw new Refusal(
      'pod-manifest-invalid',
      `app ${name}: annotation wherry/after: the pod has no app ${missing}`,
    );
  }
  const order = new Set<string>();
  while (order.size < apps.length) {
    const next = apps.find(({ name, after }) => !order.has(name) && after.every((other) => order.has(other)));
    if (next === undefined) {
      const waiting = [...names].filter((name) => !order.has(name)).join(', ');
      throw new Refusal(
        'pod-manifest-invalid',
        `annotation wherry/after: the apps ${waiting} wait for each other`,
      );
    }
    order.add(next.name);
  }
  return [...order];
}
