#!/bin/bash
# What one would guess: whiteouts of an OCI layer remove files of the layers below, not of their own layer, wherever they are in the
# archive, and a reader accepts single and opaque ones (layer.md, Whiteouts, in three sentences with MUST).
#
# What buildah 1.28.2 (Debian 12) does depends on its storage driver; umoci 0.4.7 does what the specification says:
# - A layer that replaces the file `a` and has its whiteout `.wh.a` behind the new one (before it is only a SHOULD): vfs removes the
#   new file, too, and returns 0. overlay refuses the image with "file exists".
# - An opaque whiteout in the root directory, with which a layer replaces the whole system: vfs hides everything below, overlay
#   nothing, since overlayfs merges the roots of all layers. Both return 0.
# So write whiteouts first, and single ones in the root. Podman, skopeo and CRI-O have the same storage library; skopeo 1.18 (Debian 13)
# does the same.
#
# Needs: bash, python3, apt-get with Debian 12's packages, unshare. Root: buildah mounts in a namespace of its own.
set -euo pipefail
self=$(realpath "$0")
buildah=1.28.2+ds1-3+deb12u1+b3 umoci=0.4.7+ds-3+b7
if [ "${1-}" != inside ]; then
  work=$(mktemp -d)
  trap 'rm -rf "$work"' EXIT
  cd "$work"
  apt-get download -q "buildah=$buildah" "umoci=$umoci" libgpgme11 libassuan0 libdevmapper1.02.1 libgpg-error0 >/dev/null 2>&1
  for package in *.deb; do dpkg -x "$package" tree; done
  unshare --mount "$self" inside "$work"
  echo "as found: buildah $buildah, umoci $umoci"
  exit
fi
cd "$2"
mount -t tmpfs none /run
mount -t tmpfs none /var/lib # buildah's cache
LD_LIBRARY_PATH=$(find "$PWD/tree" -name '*.so.*' -printf '%h\n' | sort -u | paste -sd:)
export LD_LIBRARY_PATH XDG_RUNTIME_DIR=/run TMPDIR=$PWD
export CONTAINERS_CONF=/dev/null CONTAINERS_STORAGE_CONF=$PWD/storage.conf CONTAINERS_REGISTRIES_CONF=/dev/null
echo '{"default": [{"type": "insecureAcceptAnything"}]}' >policy.json
storage() { # driver
  printf '[storage]\ndriver = "%s"\ngraphroot = "/run/%s"\nrunroot = "/run/containers"\n' "$1" "$1" >storage.conf
}
storage vfs
tree/usr/bin/buildah --version
tree/usr/bin/umoci --version
image() { # name; the entries of two layers as NAME or NAME=CONTENT, with -- between
  python3 - "$@" <<'PY'
import hashlib, io, json, os, sys, tarfile
name, *entries = sys.argv[1:]
def layer(entries):
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode='w') as tar:
        for path, _, content in (entry.partition('=') for entry in entries):
            entry = tarfile.TarInfo(path)
            entry.type, entry.mode, entry.size = (tarfile.DIRTYPE, 0o755, 0) if path.endswith('/') else (tarfile.REGTYPE, 0o644, len(content))
            tar.addfile(entry, io.BytesIO(content.encode()))
    return archive.getvalue()
def blob(data, kind):
    digest = hashlib.sha256(data).hexdigest()
    with open(f'{name}/blobs/sha256/{digest}', 'wb') as file:
        file.write(data)
    return {'mediaType': f'application/vnd.oci.image.{kind}', 'digest': 'sha256:' + digest, 'size': len(data)}
os.makedirs(f'{name}/blobs/sha256')
between = entries.index('--')
layers = [blob(layer(part), 'layer.v1.tar') for part in (entries[:between], entries[between + 1:])]
config = {'architecture': 'amd64', 'os': 'linux', 'rootfs': {'type': 'layers', 'diff_ids': [item['digest'] for item in layers]}}
config = blob(json.dumps(config).encode(), 'config.v1+json')
manifest = blob(json.dumps({'schemaVersion': 2, 'config': config, 'layers': layers}).encode(), 'manifest.v1+json')
manifest['annotations'] = {'org.opencontainers.image.ref.name': 'app'}
json.dump({'imageLayoutVersion': '1.0.0'}, open(f'{name}/oci-layout', 'w'))
json.dump({'schemaVersion': 2, 'manifests': [manifest]}, open(f'{name}/index.json', 'w'))
PY
}
files() {
  local found
  found=$(cd "$1" && find . -type f -exec grep -H . {} + | sort | paste -sd' ')
  echo "${found:-no files}"
}
with_umoci() { # image
  tree/usr/bin/umoci unpack --image "$1:app" "$1.bundle"
  files "$1.bundle/rootfs"
}
with_buildah() { # image, storage driver
  local container
  storage "$2"
  if container=$(tree/usr/bin/buildah from -q --pull-never --signature-policy policy.json "oci:$1:app" 2>said); then
    files "$(tree/usr/bin/buildah mount "$container")"
    tree/usr/bin/buildah umount "$container" >/dev/null
  else
    echo "refused: $(grep -o 'file exists' said)"
  fi
}
expect() { # image, what umoci makes of it, vfs, overlay
  local umoci vfs overlay
  umoci=$(with_umoci "$1")
  vfs=$(with_buildah "$1" vfs)
  overlay=$(with_buildah "$1" overlay)
  printf '  %s\n' "umoci:           $umoci" "buildah vfs:     $vfs" "buildah overlay: $overlay"
  [ "$umoci; $vfs; $overlay" = "$2; $3; $4" ]
}
echo 'whiteout before the new file:'
image before ./ ./a=old -- ./.wh.a ./a=new
expect before ./a:new ./a:new ./a:new
echo 'whiteout behind the new file:'
image behind ./ ./a=old -- ./a=new ./.wh.a
expect behind ./a:new 'no files' 'refused: file exists'
echo 'opaque whiteout in a directory:'
image opaque ./ ./d/ ./d/old=old -- ./d/ ./d/.wh..wh..opq ./d/new=new
expect opaque ./d/new:new ./d/new:new ./d/new:new
echo 'opaque whiteout in the root:'
image root ./ ./old=old -- ./ ./.wh..wh..opq ./new=new
expect root ./new:new ./new:new './new:new ./old:old'
