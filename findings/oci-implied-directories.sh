#!/bin/bash
# What one would guess: a layer of an OCI image that has no entries for directories changes no directory. The example of the image
# specification is such a layer (layer.md, Representing Changes), and a layer "is extracted like a regular tar archive".
#
# What buildah 1.28.2 (Debian 12) does with it depends on its storage driver:
# - vfs, and umoci 0.4.7: etc keeps its mode and owner, and bin stays a link to usr/bin.
# - overlay, the usual one: it unpacks each layer in a directory of its own, so it makes the parents with mode 0755 for root, and
#   overlayfs shows these. An etc with mode 0700 of the app becomes 0755 of root. A file under bin turns the link into a directory
#   that hides all of usr/bin: the image has no shell any more.
# The digests are the same, and nothing is logged. Podman, skopeo and CRI-O have the same storage library; skopeo 1.18 (Debian 13) does
# the same. A layer that is to work everywhere has an entry for each parent, with its mode and owner, or the path behind the link.
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
python3 - <<'PY'
import hashlib, io, json, os, tarfile
def layer(*entries): # name, type, mode, owner, link
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode='w') as tar:
        for name, kind, mode, owner, link in entries:
            entry = tarfile.TarInfo(name)
            entry.type, entry.mode, entry.uid, entry.gid, entry.linkname = kind, mode, owner, owner, link
            tar.addfile(entry)
    return archive.getvalue()
def blob(data, kind):
    digest = hashlib.sha256(data).hexdigest()
    with open('image/blobs/sha256/' + digest, 'wb') as file:
        file.write(data)
    return {'mediaType': f'application/vnd.oci.image.{kind}', 'digest': 'sha256:' + digest, 'size': len(data)}
DIR, FILE, LINK = tarfile.DIRTYPE, tarfile.REGTYPE, tarfile.SYMTYPE
base = layer(('./', DIR, 0o755, 0, ''), ('./etc/', DIR, 0o700, 1000, ''), ('./etc/my-app-config', FILE, 0o644, 0, ''),
             ('./usr/', DIR, 0o755, 0, ''), ('./usr/bin/', DIR, 0o755, 0, ''), ('./usr/bin/sh', FILE, 0o755, 0, ''),
             ('./usr/bin/my-app-tools', FILE, 0o755, 0, ''), ('./bin', LINK, 0o777, 0, 'usr/bin'))
# The example of the specification.
change = layer(('./etc/my-app.d/', DIR, 0o755, 0, ''), ('./etc/my-app.d/default.cfg', FILE, 0o644, 0, ''),
               ('./bin/my-app-tools', FILE, 0o755, 0, ''), ('./etc/.wh.my-app-config', FILE, 0o644, 0, ''))
os.makedirs('image/blobs/sha256')
layers = [blob(data, 'layer.v1.tar') for data in (base, change)]
config = {'architecture': 'amd64', 'os': 'linux', 'rootfs': {'type': 'layers', 'diff_ids': [item['digest'] for item in layers]}}
config = blob(json.dumps(config).encode(), 'config.v1+json')
manifest = blob(json.dumps({'schemaVersion': 2, 'config': config, 'layers': layers}).encode(), 'manifest.v1+json')
manifest['annotations'] = {'org.opencontainers.image.ref.name': 'app'}
json.dump({'imageLayoutVersion': '1.0.0'}, open('image/oci-layout', 'w'))
json.dump({'schemaVersion': 2, 'manifests': [manifest]}, open('image/index.json', 'w'))
PY
tree_of() { # mode, owner and type of the names that matter
  (cd "$1" && find . -mindepth 1 -not -path './usr*' -printf '%P %y %m %U, ' | tr ',' '\n' | sed 's/^ //' | sort | paste -sd, | sed 's/^,//')
}
with_buildah() { # storage driver
  local container
  storage "$1"
  container=$(tree/usr/bin/buildah from -q --pull-never --signature-policy policy.json oci:image:app)
  tree_of "$(tree/usr/bin/buildah mount "$container")"
  tree/usr/bin/buildah umount "$container" >/dev/null
}
tree/usr/bin/umoci unpack --image image:app bundle
umoci=$(tree_of bundle/rootfs)
vfs=$(with_buildah vfs)
overlay=$(with_buildah overlay)
printf '%s\n' "umoci:           $umoci" "buildah vfs:     $vfs" "buildah overlay: $overlay"
[ "$umoci" = 'bin l 777 0,etc d 700 1000,etc/my-app.d d 755 0,etc/my-app.d/default.cfg f 644 0' ]
[ "$vfs" = "$umoci" ]
[ "$overlay" = 'bin d 755 0,bin/my-app-tools f 755 0,etc d 755 0,etc/my-app.d d 755 0,etc/my-app.d/default.cfg f 644 0' ]
