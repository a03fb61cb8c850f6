/**
 * The one script of an app's service: it lays a fresh writable layer over the image and becomes crun. It is the same for
 * every app; all that differs comes as arguments, and nothing of the app itself does (that lies in the bundle).
 *
 * The service has a mount namespace of its own, so the mounts go when the app goes, however it ends: every start gets a
 * clean layer and nothing is ever left behind on the host.
 *
 * The lowest layer gives an image that has none /etc/hosts and the host's /etc/resolv.conf as it is at that moment. It
 * is written by the shell itself: a path through the image could lead anywhere, by a link.
 */
const lines = [
  'layer=$1 bytes=$2 image=$3 pod=$4; shift 4',
  'umask 022',
  'mount -n -t tmpfs -o "size=$bytes,mode=0755" wherry "$layer"',
  'cd "$layer"',
  'mkdir -p base/etc upper work rootfs',
  'printf "127.0.0.1 localhost\\n::1 localhost\\n127.0.1.1 %s\\n" "$pod" >base/etc/hosts',
  'if [ -r /etc/resolv.conf ]; then while IFS= read -r l || [ -n "$l" ]; do printf "%s\\n" "$l"; done </etc/resolv.conf >base/etc/resolv.conf; fi',
  // redirect_dir=nofollow: an image's attributes must not move its directories about.
  'mount -n -t overlay -o "nodev,lowerdir=$image:$layer/base,upperdir=$layer/upper,workdir=$layer/work,redirect_dir=nofollow" wherry rootfs',
];

/** Runs a handler to its end first when one is given: `… HANDLER-BUNDLE HANDLER-ID crun …`. */
const last = {
  app: ['exec "$@"'],
  handlerFirst: [
    'bundle=$1 id=$2 crun=$3 root=$4; shift 2',
    '"$crun" "$root" --cgroup-manager=disabled run --bundle "$bundle" "$id"',
    'exec "$@"',
  ],
};

export interface LayerInput {
  /** Directory to mount the layer at; it exists. The root file system is below it, at `rootfs`. */
  readonly layer: string;
  readonly layerBytes: bigint;
  /** Root directory of the image. */
  readonly image: string;
  readonly podName: string;
  /** The command line of crun: program, `--root=…`, and so on. */
  readonly crun: readonly string[];
  readonly handlerFirst?: { readonly bundle: string; readonly id: string };
}

/** The command that runs `crun` in a fresh layer. */
export function inFreshLayer(input: LayerInput): readonly string[] {
  const { layer, layerBytes, image, podName, crun, handlerFirst } = input;
  const script = [...lines, ...(handlerFirst === undefined ? last.app : last.handlerFirst)].join('; ');
  const handler = handlerFirst === undefined ? [] : [handlerFirst.bundle, handlerFirst.id];
  return ['/bin/sh', '-ec', script, 'wherry', layer, String(layerBytes), image, podName, ...handler, ...crun];
}
