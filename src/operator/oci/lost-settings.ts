import { type ImageManifest, labelValue } from '../../image/appc/index.ts';

/** Annotations that `configOf` and the document of the config write. */
const kept = /^(created|authors|wherry\/stop-signal|wherry\/oci-.*)$/;
const probes = /^wherry\/probe-/;

/** What the config of an OCI image cannot express of a manifest, in words. */
export function lostSettings({ labels, app, annotations }: ImageManifest): readonly string[] {
  const has = (name: string) => labelValue(annotations, name) !== undefined;
  const isLost = (name: string) => !kept.test(name) && !(probes.test(name) && has('wherry/oci-healthcheck'));
  const named = (list: readonly { readonly name: string }[] = []) => list.map(({ name }) => name);
  const lost: readonly (readonly [what: string, names: readonly string[]])[] = [
    ['labels', named(labels).filter((name) => !['version', 'os', 'arch'].includes(name))],
    ['annotations', named(annotations).filter(isLost)],
    ['isolators', named(app?.isolators)],
    ['event handlers', named(app?.eventHandlers)],
    // A runtime takes the groups of a user without a group from the account files of the image.
    [
      'supplementary groups',
      has('wherry/oci-default-group') ? [] : (app?.supplementaryGids ?? []).map(String),
    ],
    ['read-only mount points', named(app?.mountPoints.filter(({ readOnly }) => readOnly))],
    ['socket activation of ports', named(app?.ports.filter(({ socketActivated }) => socketActivated))],
    ['user labels', Object.keys(app?.userLabels ?? {})],
  ];
  const notes = lost.flatMap(([what, names]) =>
    names.length === 0 ? [] : [`the OCI image is without the ${what}: ${names.join(', ')}`],
  );
  return labelValue(labels, 'arch') === undefined
    ? [...notes, 'it has no label arch, which OCI requires: the OCI image is for amd64']
    : notes;
}
