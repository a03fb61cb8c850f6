import { patchImage } from '../../../operator/build/index.ts';
import { type ImageManifest, parseImageManifest, serializeImageManifest } from '../../../image/appc/index.ts';
import { readImageFile } from '../../../operator/fleet/index.ts';
import { Refusal } from '../../../core/refusal/index.ts';
import type { Context } from '../../context.ts';
import type { PatchFlags } from '../../flags.ts';
import { manifestBytes, pair, tellBuilt } from './image-build.ts';

/** `wherry image patch` */
export async function imagePatch(context: Context, file: string, flags: PatchFlags): Promise<void> {
  const image = await readImageFile(file);
  const bytes =
    flags.manifest === undefined
      ? changedManifest(image.manifest, flags)
      : await manifestBytes({ ...flags, user: '', group: '' });
  parseImageManifest(bytes);
  const { output, compression } = flags;
  await tellBuilt(context, flags, await patchImage({ path: file, manifest: bytes, output, compression }));
}

/** A given value replaces the manifest's value of that name; the rest stays. */
function changedManifest(manifest: ImageManifest, flags: PatchFlags): Uint8Array {
  const draft = JSON.parse(new TextDecoder().decode(serializeImageManifest(manifest))) as ManifestDraft;
  const replaced = (
    pairs: readonly Pair[] | undefined,
    changes: readonly string[] | undefined,
    option: string,
  ) => {
    const wanted = (changes ?? []).map((text) => pair(text, option));
    const kept = (pairs ?? []).filter(({ name }) => !wanted.some((one) => one.name === name));
    // An empty value removes the name.
    return [...kept, ...wanted.filter(({ value }) => value !== '')];
  };
  const isAboutApp =
    flags.exec !== undefined ||
    flags.user !== undefined ||
    flags.group !== undefined ||
    flags.env !== undefined;
  if (isAboutApp && draft.app === undefined && flags.exec === undefined) {
    throw new Refusal('usage', 'the image has no program to run; give it with --exec');
  }
  const app = {
    ...{ user: '0', group: '0', ...draft.app },
    ...(flags.exec === undefined ? {} : { exec: flags.exec }),
    ...(flags.user === undefined ? {} : { user: flags.user }),
    ...(flags.group === undefined ? {} : { group: flags.group }),
    environment: replaced(draft.app?.environment, flags.env, '--env'),
  };
  const changed = {
    ...draft,
    ...(flags.name === undefined ? {} : { name: flags.name }),
    labels: replaced(draft.labels, flags.label, '--label'),
    annotations: replaced(draft.annotations, flags.annotation, '--annotation'),
    ...(isAboutApp ? { app } : {}),
  };
  return new TextEncoder().encode(JSON.stringify(changed));
}

type Pair = ReturnType<typeof pair>;

/** The members of a manifest that options change; the parser of manifests judges the whole. */
interface ManifestDraft {
  readonly labels?: readonly Pair[];
  readonly annotations?: readonly Pair[];
  readonly app?: { readonly environment?: readonly Pair[] };
}
