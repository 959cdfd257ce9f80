"""Verdicts and results as typed records, with a versioned JSON form."""

from __future__ import annotations

from fauxlab.records.audit import AuditReport, Cue, FeatureScore, Finding, GeneratorAudit
from fauxlab.records.base import Box, Interval, Record
from fauxlab.records.comparison import PairedScores, RunComparison, RunSummary
from fauxlab.records.decisions import DecisionShares, KindMeans, Subgroup, Subgroups
from fauxlab.records.detection import (
    Confusion,
    DegradedScores,
    DetectionReport,
    DetectionScores,
    RobustnessReport,
)
from fauxlab.records.generation import FeatureSummary, GenerationFigures, GenerationReport
from fauxlab.records.left_out import LeaveOneOutReport, LeftOut, LeftOutPart, LeftOutReal
from fauxlab.records.verdict import Decision, Verdict

__all__ = [
    "AuditReport",
    "Box",
    "Confusion",
    "Cue",
    "Decision",
    "DecisionShares",
    "DegradedScores",
    "DetectionReport",
    "DetectionScores",
    "FeatureScore",
    "FeatureSummary",
    "Finding",
    "GenerationFigures",
    "GenerationReport",
    "GeneratorAudit",
    "Interval",
    "KindMeans",
    "LeaveOneOutReport",
    "LeftOut",
    "LeftOutPart",
    "LeftOutReal",
    "PairedScores",
    "Record",
    "RobustnessReport",
    "RunComparison",
    "RunSummary",
    "Subgroup",
    "Subgroups",
    "Verdict",
]
