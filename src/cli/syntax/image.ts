import { type Command, Option } from 'commander';
import type {
  BuildFlags,
  DiscoverFlags,
  FetchFlags,
  FromOciFlags,
  ImageSignFlags,
  PatchFlags,
  RenderFlags,
  StoreFlags,
  VerifyFlags,
} from '../flags.ts';
import { Refusal } from '../../core/refusal/index.ts';
import { discovering, example, outputPath, repeatable, type MakeContext } from './options.ts';

/** `wherry image` */
export function addImage(program: Command, makeContext: MakeContext): void {
  const image = program
    .command('image')
    .description('build, look into, sign and verify App Container Images');
  image
    .command('build <source>')
    .description(
      'build an image from a directory that becomes its root, or from a build file (TOML); the same input gives the same image',
    )
    .requiredOption('-o, --output <file>', 'the .aci file to write', outputPath)
    .option('--manifest <file>', 'image manifest (JSON); else --name and the options below make one')
    .option('--name <name>', 'image name, for example example.com/web')
    .addOption(repeatable('--label <name=value>', 'a label, for example version=1.0; repeatable'))
    .option('--exec <program...>', 'absolute path of the program, and its arguments')
    .option('--user <user>', 'user name or number', '0')
    .option('--group <group>', 'group name or number', '0')
    .addOption(repeatable('--env <name=value>', 'an environment variable; repeatable'))
    .option('--workdir <path>', 'working directory of the program')
    .addOption(
      repeatable(
        '--mount <name,path=path>',
        'where a volume belongs, for example data,path=/srv/data or site,path=/srv/www,readOnly=true; repeatable',
      ),
    )
    .option('--memory <quantity>', 'memory limit, for example 64Mi')
    .option('--cpu <quantity>', 'CPU limit, for example 500m')
    .addOption(repeatable('--annotation <name=value>', 'for example wherry/probe-http=8080/; repeatable'))
    .option('--owner <uid:gid>', 'owner of all files, in place of their own')
    .addOption(new Option('--compression <how>', 'compression').choices(['gzip', 'none']).default('gzip'))
    .option('--sign', "sign it with the fleet's image key")
    .addHelpText(
      'after',
      example(
        'wherry image build rootfs --name example.com/web --label version=1.0 --label arch=aarch64 \\',
        '    --exec /usr/sbin/web --exec=--foreground --user 33 -o web.aci --sign',
        'wherry image build rootfs --manifest manifest.json -o web.aci',
      ),
    )
    .action(async (directory: string, options: BuildFlags, command: Command) => {
      const { buildImage } = await import('../commands/operator/image-build.ts');
      await buildImage(makeContext(command.optsWithGlobals()), directory, options);
    });
  image
    .command('from-oci <source>')
    .description(
      'make an image from an OCI or Docker image: DIR or FILE, with :NAME or @DIGEST if it has several, or docker://HOST/NAME:TAG',
    )
    .requiredOption('-o, --output <file>', 'the .aci file to write', outputPath)
    .option('--name <name>', 'image name (default: registry and repository)')
    .option('--platform <platform>', 'which one of an index, for example linux/arm/v7 or linux/arm64')
    .addOption(repeatable('--label <name=value>', 'a label, for example version=1.0; repeatable'))
    .addOption(new Option('--compression <how>', 'compression').choices(['gzip', 'none']).default('gzip'))
    .option(
      '--layers <prefix>',
      'keep layers: one image for each, called PREFIX/layer-…, beside the output; the image depends on them',
    )
    .option('--max-unpacked <quantity>', 'what its layers may unpack to in all', '8Gi')
    .option('--credentials <file>', 'a file with USER:PASSWORD for the registry, readable by you alone')
    .option('--plain-http', 'use http for the registry')
    .option('--sign', "sign it with the fleet's image key")
    .addHelpText(
      'after',
      example(
        'wherry image from-oci docker://nginx:1.27 --platform linux/arm64 --name example.com/nginx -o nginx.aci --sign',
        'wherry image from-oci app.tar --name example.com/app --layers example.com/layers -o images/app.aci --sign',
        'docker save app:1.0 | gzip > app.tgz; wherry image from-oci app.tgz --name example.com/app -o app.aci',
      ),
    )
    .action(async (source: string, options: FromOciFlags, command: Command) => {
      const { imageFromOci } = await import('../commands/operator/image-oci.ts');
      await imageFromOci(makeContext(command.optsWithGlobals()), source, options);
    });
  image
    .command('to-oci <file>')
    .description('write an image as an OCI layout with one layer: a directory, or one file that ends in .tar')
    .requiredOption('-o, --output <path>', 'the directory or the .tar file to make', outputPath)
    .option('--tag <tag>', "its tag in the layout (default: the image's version)")
    .addHelpText(
      'after',
      example(
        'wherry image to-oci web.aci -o web-oci',
        'skopeo copy oci:web-oci:1.0 docker://registry.example/web:1.0',
      ),
    )
    .action(async (file: string, options: { output: string; tag?: string }, command: Command) => {
      const { imageToOci } = await import('../commands/operator/image-oci.ts');
      await imageToOci(makeContext(command.optsWithGlobals()), file, options);
    });
  discovering(
    image
      .command('discover <name>')
      .description(
        'find the addresses of an image, NAME[:VERSION][,LABEL=VALUE...], and the keys that its site offers',
      ),
  )
    .addHelpText('after', example('wherry image discover example.com/web:1.0,arch=aarch64'))
    .action(async (name: string, options: DiscoverFlags, command: Command) => {
      const { discoverImage } = await import('../commands/operator/image-discover.ts');
      await discoverImage(makeContext(command.optsWithGlobals()), name, options);
    });
  discovering(
    image
      .command('fetch <names...>')
      .description('find images by name, download them with their signatures, and verify them')
      .option('-o, --output <dir>', 'where to put them', outputPath, '.')
      .addOption(
        repeatable(
          '--key <file>',
          "armored public key to trust (default: the fleet's image key); repeatable",
        ),
      ),
  )
    .addHelpText(
      'after',
      example('wherry image fetch example.com/web:1.0,arch=aarch64 --key example.asc -o images'),
    )
    .action(async (names: string[], options: FetchFlags, command: Command) => {
      const { fetchImages } = await import('../commands/operator/image-discover.ts');
      await fetchImages(makeContext(command.optsWithGlobals()), names, options);
    });
  image
    .command('patch <file>')
    .description('write an image with the same files and another manifest; what is not named stays as it is')
    .requiredOption('-o, --output <file>', 'the .aci file to write', outputPath)
    .option('--manifest <file>', 'the whole image manifest (JSON), in place of the options below')
    .option('--name <name>', 'image name')
    .addOption(repeatable('--label <name=value>', 'set a label; without a value, remove it; repeatable'))
    .addOption(repeatable('--annotation <name=value>', 'set an annotation, or remove it; repeatable'))
    .option('--exec <program...>', 'absolute path of the program, and its arguments')
    .option('--user <user>', 'user name or number')
    .option('--group <group>', 'group name or number')
    .addOption(repeatable('--env <name=value>', 'set an environment variable, or remove it; repeatable'))
    .addOption(new Option('--compression <how>', 'compression').choices(['gzip', 'none']).default('gzip'))
    .option('--sign', "sign it with the fleet's image key")
    .addHelpText('after', example('wherry image patch web.aci --label version=1.1 -o web-1.1.aci --sign'))
    .action(async (file: string, options: PatchFlags, command: Command) => {
      const { imagePatch } = await import('../commands/operator/image-patch.ts');
      await imagePatch(makeContext(command.optsWithGlobals()), file, options);
    });
  image
    .command('render <file>')
    .description(
      'lay an image over those that it depends on, apply path whitelists, and write one image of it',
    )
    .requiredOption('-o, --output <file>', 'the .aci file to write', outputPath)
    .addOption(
      repeatable('--with <file>', 'an image that it depends on, or a directory of images; repeatable'),
    )
    .addOption(new Option('--compression <how>', 'compression').choices(['gzip', 'none']).default('gzip'))
    .option('--sign', "sign it with the fleet's image key")
    .addHelpText('after', example('wherry image render app.aci --with base.aci -o app-whole.aci --sign'))
    .action(async (file: string, options: RenderFlags, command: Command) => {
      const { imageRender } = await import('../commands/operator/image-render.ts');
      await imageRender(makeContext(command.optsWithGlobals()), file, options);
    });
  image
    .command('validate <files...>')
    .description('check images by every rule of the specification, and warn of what is allowed but unwise')
    .addHelpText('after', example('wherry image validate web.aci --json'))
    .action(async (files: string[], _options: object, command: Command) => {
      const { validateImages } = await import('../commands/operator/image-contents.ts');
      await validateImages(makeContext(command.optsWithGlobals()), files);
    });
  image
    .command('cat-manifest <file>')
    .description("print an image's manifest exactly as in the archive")
    .option('--pretty', 'indented')
    .addHelpText('after', example('wherry image cat-manifest web.aci | jq .app.exec'))
    .action(async (file: string, options: { pretty?: true }, command: Command) => {
      const { catManifest } = await import('../commands/operator/image-contents.ts');
      await catManifest(makeContext(command.optsWithGlobals()), file, options);
    });
  image
    .command('extract <file> <dir>')
    .description(
      "unpack an image's root file system into a new directory; owners and file capabilities are kept as root only",
    )
    .addHelpText('after', example('wherry image extract web.aci rootfs'))
    .action(async (file: string, directory: string, _options: object, command: Command) => {
      const { extractImage } = await import('../commands/operator/image-contents.ts');
      await extractImage(makeContext(command.optsWithGlobals()), file, directory);
    });
  image
    .command('inspect <file>')
    .description('read an image as a device does and describe it')
    .option('--files', 'list its files too')
    .addHelpText('after', example('wherry image inspect web.aci --files'))
    .action(async (file: string, options: { files?: true }, command: Command) => {
      const { inspectImage } = await import('../commands/operator/image.ts');
      await inspectImage(makeContext(command.optsWithGlobals()), file, options);
    });
  image
    .command('sign <files...>')
    .description('write FILE.asc: a detached OpenPGP signature')
    .option('--key <file>', "armored private key (default: the fleet's image key)")
    .option('--add', 'keep the signatures of other keys in FILE.asc; one of the same key is replaced')
    .addHelpText(
      'after',
      example(
        'wherry image sign web.aci',
        'wherry image sign web.aci --key bob.key.asc --add   # a second signature',
        'gpg --armor --detach-sign web.aci   # makes one, too',
      ),
    )
    .action(async (files: string[], options: ImageSignFlags, command: Command) => {
      const { signImages } = await import('../commands/operator/image.ts');
      await signImages(makeContext(command.optsWithGlobals()), files, options);
    });
  image
    .command('verify [images...]')
    .description(
      'read image files as a device would and check their signatures; or, on a device, its stored images',
    )
    .addOption(repeatable('--key <file>', "armored public key (default: the fleet's image key); repeatable"))
    .option('--on-device', 'read every stored image, or those named, and compare it with what was verified')
    .option('--store <dir>', 'with --on-device: where the store is (default: /var/lib/wherry)')
    .addHelpText(
      'after',
      example(
        'wherry image verify web.aci --key images.pub.asc',
        'sudo wherry image verify --on-device',
        'sudo wherry image verify --on-device example.com/web',
      ),
    )
    .action(async (images: string[], options: VerifyFlags, command: Command) => {
      const context = makeContext(command.optsWithGlobals());
      if (options.onDevice === true) {
        if (options.key !== undefined)
          throw new Refusal('usage', '--key is for files, not for stored images');
        const { verifyStoredImages } = await import('../commands/device/image-verify-device.ts');
        await verifyStoredImages(context, images, options);
        return;
      }
      if (options.store !== undefined) throw new Refusal('usage', '--store goes with --on-device');
      if (images.length === 0)
        throw new Refusal('usage', 'it takes image files, or --on-device; see "wherry image verify --help"');
      const { verifyImages } = await import('../commands/operator/image.ts');
      await verifyImages(context, images, options);
    });
  image
    .command('list')
    .description('on a device: list its stored images, what needs each, and when it was last used')
    .requiredOption('--on-device', 'of this device; other machines have no store')
    .option('--store <dir>', 'where the store is (default: /var/lib/wherry)')
    .addHelpText('after', example('sudo wherry image list --on-device'))
    .action(async (options: StoreFlags, command: Command) => {
      const { listStoredImages } = await import('../commands/device/image-list-device.ts');
      await listStoredImages(makeContext(command.optsWithGlobals()), options);
    });
}
