#!/bin/bash
# What one would guess: the tar archive that `git archive` writes is a layer of an OCI image like any other. The specification requires a
# tar archive, and the Go library of umoci reads it.
#
# What umoci 0.4.7 (Debian 12 and 13) does: `umoci unpack` fails with "unknown typeflag" at the first entry. git writes the ID of the commit
# in a global PAX header (type g, POSIX pax) in front of the files; Go's archive/tar returns it as an entry, which umoci takes for a
# file of unknown type. tar, skopeo 1.9.3 (into containers-storage), tar-stream 3.2.2 and mkfs.erofs 1.8.6 read it. For the ID of a tree
# in place of a commit (`git archive HEAD^{tree}`), git writes no such header, and umoci unpacks the layer.
#
# Needs: bash, python3, git, tar, apt-get with Debian 12's packages. No root.
set -euo pipefail
umoci=0.4.7+ds-3+b7
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
apt-get download -q "umoci=$umoci" >/dev/null 2>&1
dpkg -x umoci_*.deb tree
export HOME=$work GIT_CONFIG_GLOBAL=/dev/null
git init -q source
mkdir source/app
echo text >source/app/file
git -C source add .
git -C source -c user.name=harbour -c user.email=harbour@example.org commit -qm first
git -C source archive HEAD >commit.tar
git -C source archive 'HEAD^{tree}' >tree.tar
image() { # name of the layer
  python3 - "$1" <<'PY'
import hashlib, json, os, sys
name = sys.argv[1]
os.makedirs(f'{name}/blobs/sha256')
def blob(data, kind):
    digest = hashlib.sha256(data).hexdigest()
    with open(f'{name}/blobs/sha256/{digest}', 'wb') as file:
        file.write(data)
    return {'mediaType': f'application/vnd.oci.image.{kind}', 'digest': 'sha256:' + digest, 'size': len(data)}
layer = blob(open(f'{name}.tar', 'rb').read(), 'layer.v1.tar')
config = {'architecture': 'amd64', 'os': 'linux', 'rootfs': {'type': 'layers', 'diff_ids': [layer['digest']]}}
config = blob(json.dumps(config).encode(), 'config.v1+json')
manifest = blob(json.dumps({'schemaVersion': 2, 'config': config, 'layers': [layer]}).encode(), 'manifest.v1+json')
manifest['annotations'] = {'org.opencontainers.image.ref.name': 'app'}
json.dump({'imageLayoutVersion': '1.0.0'}, open(f'{name}/oci-layout', 'w'))
json.dump({'schemaVersion': 2, 'manifests': [manifest]}, open(f'{name}/index.json', 'w'))
PY
}
with_umoci() {
  if tree/usr/bin/umoci unpack --rootless --image "$1:app" "$1.bundle" 2>said; then
    (cd "$1.bundle/rootfs" && find . -type f)
  else
    grep -o 'unknown typeflag.*' said
  fi
}
tree/usr/bin/umoci --version
git --version
for name in commit tree; do
  image $name
  echo "$name: type of the first entry $(dd if=$name.tar bs=1 skip=156 count=1 status=none); tar lists $(tar tf $name.tar | paste -sd' ')"
  echo "  umoci unpack: $(with_umoci $name)" | tee "$name.seen"
done
grep -q "unknown typeflag '.x67'" commit.seen
grep -qx '  umoci unpack: ./app/file' tree.seen
echo "as found: umoci $umoci"
