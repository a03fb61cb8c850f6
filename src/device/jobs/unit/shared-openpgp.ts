/**
 * The parts of OpenPGP that wherry uses, on the device and in the operator's tool. Naming them lets
 * the bundler leave out encryption and decryption, a quarter of the library.
 */
export {
  config,
  enums,
  generateKey,
  PacketList,
  PrivateKey,
  PublicKey,
  PublicSubkeyPacket,
  readKey,
  readKeys,
  readPrivateKey,
  readSignature,
  SecretKeyPacket,
  Signature,
  SignaturePacket,
  Subkey,
  unarmor,
  UserAttributePacket,
  UserIDPacket,
} from 'openpgp';
