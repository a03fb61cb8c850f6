import { Refusal } from '../../core/refusal/index.ts';
import { withTarOf, defaultArchiveLimits, quoted, type Xattr } from '../../image/tar/index.ts';
import { walkTar } from '../../image/aci/index.ts';

/**
 * Extended attributes of the files below a directory, by path in the app's root: those that an
 * archive keeps. Node cannot read them, so GNU tar does; only the attributes in its output are
 * used.
 *
 * @throws Refusal `input-invalid` when the directory cannot be read
 */
export async function readXattrs(root: string): Promise<ReadonlyMap<string, readonly Xattr[]>> {
  const found = new Map<string, readonly Xattr[]>();
  const read = async (tar: AsyncIterable<Buffer>): Promise<void> => {
    await walkTar(tar, defaultArchiveLimits, {
      onTar: () => undefined,
      visit: ({ name, xattrs }) => {
        const path = name.split('/').filter((part) => part !== '' && part !== '.');
        if (xattrs.length > 0) found.set(`/${path.join('/')}`, xattrs);
        return Promise.resolve();
      },
    });
  };
  await withTarOf(
    root,
    ['.'],
    read,
    (said) => new Refusal('input-invalid', `tar cannot read ${quoted(root)}: ${said}`),
  );
  return found;
}
