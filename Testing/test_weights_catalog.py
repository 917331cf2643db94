"""What is offered for download: complete, over https, with a hash of the right length, and with a license."""

import pytest

from LungCADLib.weights import BUNDLED, CATALOG

DIGITS = {"md5": 32, "sha1": 40, "sha256": 64}


@pytest.mark.parametrize("name", CATALOG)
def test_an_entry_has_all_that_a_person_and_a_check_need(name):
    entry = CATALOG[name]
    assert entry.name == name
    assert entry.url.startswith("https://")
    assert entry.url.endswith(f"/{entry.file}")
    for algorithm, digest in (entry.digest, *entry.parts.values()):
        assert len(digest) == DIGITS[algorithm]
        int(digest, 16)
    assert bool(entry.parts) == entry.file.endswith(".zip")
    assert 10 < entry.megabytes < 1000
    assert entry.license.url.startswith("https://")
    assert len(entry.license.attribution) > 20


def test_the_hash_of_lungmask_begins_as_its_publisher_says():
    entry = CATALOG["lungmask_r231"]
    assert entry.digest[1].startswith(entry.file.removeprefix("unet_r231-").removesuffix(".pth"))


def test_the_hashes_of_monais_bundle_are_those_it_publishes():
    entry = CATALOG["lung_nodule_ct_detection"]  # model-zoo: model_info.json and large_files.yml of version 0.6.8
    assert entry.digest == ("sha1", "1abae7a9379861c477f7b189e0171cfcd71370b0")
    assert entry.parts == {"models/model.pt": ("md5", "b2e732a7c2786e2f8398fa45293b1e73")}


def test_every_license_of_our_networks_names_the_data_they_learned_from():
    for what, license in BUNDLED.values():
        assert what
        assert "LIDC-IDRI (CC BY 3.0)" in license.attribution
        assert "10.7937/K9/TCIA.2015.LO9QL9SX" in license.attribution
    assert "LUNA16 (CC BY 4.0)" in BUNDLED["appearance"][1].attribution
