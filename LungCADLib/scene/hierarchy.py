"""Where nodes stand in the subject hierarchy: patient, study, then everything about the scan."""

from typing import Any

import slicer

from LungCADLib.scan import Header

_DICOM = slicer.vtkMRMLSubjectHierarchyConstants


def place_under_study(scene: Any, volume: Any, nodes: list[Any], header: Header) -> int:
    """Put nodes under the study the volume belongs to.

    A volume loaded by Slicer's DICOM module has its study already; for any other one, patient and study are found by
    their DICOM identity or made from the scan's header.

    Returns
    -------
    The study's item in the subject hierarchy.
    """
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(scene)
    volume_item = _item(hierarchy, volume)
    study = hierarchy.GetItemAncestorAtLevel(volume_item, _DICOM.GetDICOMLevelStudy())
    if study == hierarchy.GetInvalidItemID():
        study = _study(hierarchy, header)
        hierarchy.SetItemParent(volume_item, study)
    for node in nodes:
        hierarchy.SetItemParent(_item(hierarchy, node), study)
    return study


def _item(hierarchy: Any, node: Any) -> int:
    """A node's item; the application makes one for each node, outside it nobody does."""
    item = hierarchy.GetItemByDataNode(node)
    if item == hierarchy.GetInvalidItemID():
        item = hierarchy.CreateItem(hierarchy.GetSceneItemID(), node)
    return item


def _study(hierarchy: Any, header: Header) -> int:
    uid = header.study_uid or ""
    study = _known(hierarchy, uid)
    if study != hierarchy.GetInvalidItemID():
        return study
    patient = _known(hierarchy, header.patient_id or "")
    if patient == hierarchy.GetInvalidItemID():
        patient = hierarchy.CreateSubjectItem(hierarchy.GetSceneItemID(), header.patient_id or "Patient")
        _identify(hierarchy, patient, header.patient_id, _DICOM.GetDICOMPatientIDAttributeName())
        _describe(hierarchy, patient, _DICOM.GetDICOMPatientSexAttributeName(), header.patient_sex)
    study = hierarchy.CreateStudyItem(patient, f"Study {header.study_date}" if header.study_date else "Study")
    _identify(hierarchy, study, header.study_uid, _DICOM.GetDICOMStudyInstanceUIDAttributeName())
    _describe(hierarchy, study, _DICOM.GetDICOMStudyDateAttributeName(), header.study_date)
    return study


def _known(hierarchy: Any, uid: str) -> int:
    return hierarchy.GetItemByUID(_DICOM.GetDICOMUIDName(), uid) if uid else hierarchy.GetInvalidItemID()


def _identify(hierarchy: Any, item: int, uid: str | None, attribute: str) -> None:
    if uid:
        hierarchy.SetItemUID(item, _DICOM.GetDICOMUIDName(), uid)
        hierarchy.SetItemAttribute(item, attribute, uid)


def _describe(hierarchy: Any, item: int, attribute: str, value: str | None) -> None:
    if value:
        hierarchy.SetItemAttribute(item, attribute, value)
