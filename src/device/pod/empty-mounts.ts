import type { App, PodApp, PodManifest } from '../../image/appc/index.ts';
import { volumeKinds } from './volume-kinds.ts';
import { type ResolvedMount, resolveMounts } from './volumes.ts';

/** An app of a pod and what it runs: its own `app` or that of its image. */
export interface PlacedApp {
  readonly podApp: PodApp;
  readonly app: App;
}

/** A mount that has no content when the first program of its app begins. */
export interface EmptyMount extends ResolvedMount {
  /** Whether a pre-start handler of the app can fill it for the app. */
  readonly handlerFills: boolean;
}

/**
 * The mounts of an app that are certainly empty when its first program begins: volumes of kind
 * `empty` that are not kept and that no other app of the pod can write to.
 *
 * @param apps all apps of the pod
 * @throws Refusal as {@link resolveMounts} and {@link volumeKinds}
 */
export function emptyMounts(
  { podApp, app }: PlacedApp,
  apps: readonly PlacedApp[],
  manifest: PodManifest,
): readonly EmptyMount[] {
  const kinds = volumeKinds(manifest);
  const writable = (one: PlacedApp): readonly string[] =>
    resolveMounts(one.podApp, one.app, manifest).flatMap(({ volume, readOnly }) =>
      readOnly ? [] : volume.name,
    );
  const others = apps.filter((one) => one.podApp.name !== podApp.name).flatMap(writable);
  const own = writable({ podApp, app });
  return resolveMounts(podApp, app, manifest).flatMap((mount) => {
    const { kind, name } = mount.volume;
    if (kind !== 'empty') return [];
    const special = kinds.get(name)?.kind;
    // Each program of an app gets its own memory.
    if (special === 'memory') return { ...mount, handlerFills: false };
    if (special === 'kept' || others.includes(name)) return [];
    return { ...mount, handlerFills: own.includes(name) };
  });
}
