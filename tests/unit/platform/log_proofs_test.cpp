// Merkle trees, signed notes and wrapped keys.
#include <catch2/catch.hpp>

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "platform/crypto/base64.h"
#include "platform/crypto/cms.h"
#include "platform/crypto/hex.h"
#include "platform/crypto/merkle.h"
#include "platform/crypto/note.h"

using namespace sallyport;
using namespace sallyport::crypto;

namespace {

// The tree that Certificate Transparency's own tests use.
const std::vector<std::string> k_leaves = {"", "00", "10", "2021", "3031", "40414243", "5051525354555657",
                                           "606162636465666768696a6b6c6d6e6f"};
const std::vector<std::string> k_roots = {
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d", "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77", "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4", "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c", "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328"};

std::vector<Hash256> many_leaves(std::size_t count) {
  std::vector<Hash256> leaves;
  for (std::size_t i = 0; i < count; ++i) leaves.push_back(merkle_leaf(bytes_of(std::to_string(i))));
  return leaves;
}

}  // namespace

TEST_CASE("the Merkle tree grows through Certificate Transparency's known roots") {
  MerkleTree tree;
  CHECK(to_hex(tree.root()) == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  for (std::size_t i = 0; i < k_leaves.size(); ++i) {
    tree.append(from_hex(k_leaves[i]).value());
    CHECK(to_hex(tree.root()) == k_roots[i]);
    auto resumed = MerkleTree::resume(tree.size(), tree.frontier());
    REQUIRE(resumed);
    CHECK(resumed->root() == tree.root());
  }
  CHECK_FALSE(MerkleTree::resume(3, std::vector<Hash256>(1)));
}

TEST_CASE("every leaf's inclusion and every prefix's consistency can be proven, and nothing else") {
  constexpr std::size_t k_count = 35;
  const auto leaves = many_leaves(k_count);
  for (std::size_t size = 1; size <= k_count; ++size) {
    const auto part = std::span(leaves).first(size);
    const Hash256 root = merkle_root(part);
    for (std::size_t index = 0; index < size; ++index) {
      auto proof = prove_inclusion(index, part);
      REQUIRE(verify_inclusion(leaves[index], index, size, proof, root));
      CHECK_FALSE(verify_inclusion(leaves[(index + 1) % k_count], index, size, proof, root));
      CHECK_FALSE(verify_inclusion(leaves[index], size, size, proof, root));
      proof.push_back(root);
      CHECK_FALSE(verify_inclusion(leaves[index], index, size, proof, root));
    }
    for (std::size_t old_size = 1; old_size <= size; ++old_size) {
      const Hash256 old_root = merkle_root(part.first(old_size));
      auto proof = prove_consistency(old_size, part);
      REQUIRE(verify_consistency(old_size, old_root, size, root, proof));
      CHECK_FALSE(verify_consistency(old_size, merkle_leaf(bytes_of("other")), size, root, proof));
      if (!proof.empty()) {
        proof.back()[0] ^= std::byte{1};
        CHECK_FALSE(verify_consistency(old_size, old_root, size, root, proof));
      }
    }
  }
}

TEST_CASE("a signed note of the Go checksum database's documentation verifies") {
  const auto key = parse_vkey("PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW");
  REQUIRE(key);
  const std::string text =
      "If you think cryptography is the answer to your problem,\n"
      "then you don't know what your problem is.\n"
      "\n"
      "\xe2\x80\x94 PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n";
  const auto note = parse_note(text);
  REQUIRE(note);
  CHECK(verify_note(*note, std::vector{*key}));
  Note changed = *note;
  changed.body[3] = 'Y';
  CHECK_FALSE(verify_note(changed, std::vector{*key}));
  CHECK_FALSE(verify_note(*note, std::vector<NoteKey>{}));
}

TEST_CASE("a checkpoint goes out and comes back, and damaged ones are refused") {
  const auto key = Ed25519PrivateKey::generate(system_random());
  const NoteKey verifier = make_note_key("gw-1/journal", key.public_key());
  CHECK(vkey_of(parse_vkey(vkey_of(verifier)).value()) == vkey_of(verifier));
  const Checkpoint checkpoint{"gw-1/journal", 4711, merkle_leaf(bytes_of("x")), {}};
  const std::string body = checkpoint_body(checkpoint);
  const auto note = parse_note(join_note(body, sign_note_line(body, verifier.name, key)));
  REQUIRE(note);
  CHECK(verify_note(*note, std::vector{verifier}));
  const auto read = parse_checkpoint(note->body);
  REQUIRE(read);
  CHECK((read->origin == checkpoint.origin && read->size == 4711 && read->root == checkpoint.root));

  const std::string root = to_base64(checkpoint.root);
  for (const std::string& wrong :
       {std::string(), std::string("o\n"), "o\n-1\n" + root + "\n", "o\n01\n" + root + "\n", "o\n1 \n" + root + "\n", "\n1\n" + root + "\n",
        std::string("o\n1\nAAAA\n"), "o\n1\n" + root, "o\n99999999999999999999\n" + root + "\n"})
    CHECK_FALSE(parse_checkpoint(wrong));
  for (const char* wrong : {"", "a\n", "a\n\n", "a\n\nb\n", "a\n\n\xe2\x80\x94 n AAAA\n", "a\n\n\xe2\x80\x94 n AAAAAAAA"}) CHECK_FALSE(parse_note(wrong));
  for (const char* wrong : {"", "a+b", "a+00000000+AA==", "n+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"}) CHECK_FALSE(parse_vkey(wrong));
}

TEST_CASE("a wrapped key opens for its recipients only, and with the openssl command") {
  const auto one = make_recipient("recording recipient", system_clock().wall());
  const auto two = make_recipient("second recipient", system_clock().wall());
  const auto stranger = make_recipient("stranger", system_clock().wall());
  REQUIRE((one && two && stranger));
  const Bytes key = random_bytes(system_random(), 32);
  const auto wrapped = wrap_to_recipients(key, std::vector<Bytes>{one->certificate_der, two->certificate_der});
  REQUIRE(wrapped);
  for (const auto* recipient : {&*one, &*two}) {
    const auto opened = unwrap_with(*wrapped, recipient->private_key_pem, recipient->certificate_der);
    REQUIRE(opened);
    CHECK(opened->equals(Secret(ByteView(key))));
  }
  const auto refused = unwrap_with(*wrapped, stranger->private_key_pem, stranger->certificate_der);
  REQUIRE_FALSE(refused);
  CHECK(refused.error().code == Errc::denied);
  CHECK_FALSE(unwrap_with(bytes_of("not CMS"), one->private_key_pem, one->certificate_der));
  CHECK_FALSE(wrap_to_recipients(key, {}));
  CHECK_FALSE(wrap_to_recipients(key, std::vector<Bytes>{copy_of(bytes_of("junk"))}));
  CHECK(certificate_der_of(certificate_pem(one->certificate_der)).value() == one->certificate_der);

  char folder[] = "/tmp/sallyport-cms-XXXXXX";
  REQUIRE(mkdtemp(folder) != nullptr);
  const std::string base = folder;
  std::ofstream(base + "/key.pem") << one->private_key_pem.reveal_text();
  std::ofstream(base + "/cert.pem") << certificate_pem(one->certificate_der);
  std::ofstream(base + "/wrapped.der", std::ios::binary) << text_of(*wrapped);
  const std::string command = "openssl cms -decrypt -inform DER -in " + base + "/wrapped.der -recip " + base + "/cert.pem -inkey " + base +
                              "/key.pem -out " + base + "/plain 2>/dev/null";
  CHECK(std::system(command.c_str()) == 0);
  std::ifstream plain(base + "/plain", std::ios::binary);
  CHECK(std::string(std::istreambuf_iterator<char>(plain), {}) == text_of(key));
  std::filesystem::remove_all(base);
}
