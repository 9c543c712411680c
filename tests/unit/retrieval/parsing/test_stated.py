"""What a file states about itself: whose name is an author's, which day is its own."""

from __future__ import annotations

import datetime
import io

import openpyxl
import pytest
from docx import Document as WordFile
from docx.opc.coreprops import CoreProperties
from pptx import Presentation

from apps.retrieval.parsing.stated import stated_author, stated_creation


@pytest.mark.parametrize("name", ["Jane Doe", "张三", "Lenovo", "Microsoft", "Ada Unknown", "Roots & Co.", "Calibre Press", "财务部", ""])
def test_people_and_companies_are_authors(name: str) -> None:
    assert stated_author(name) == name


@pytest.mark.parametrize(
    "name",
    [
        "openpyxl",
        "openpyxl 3.1.5",
        "Apache POI 5.2.3",
        "python-docx",
        "LibreOffice/7.4",
        "Unknown",
        "(anonymous)",
        "[Author]",
        "UNKNOWN",
        "Microsoft Office User",
        "Microsoft Office 用户",
        "Windows 用户",
        "管理员",
        "admin",
        "Un-named",
    ],
)
def test_programs_and_placeholders_are_none(name: str) -> None:
    assert stated_author(name) == ""


def test_of_several_names_those_of_people_stay() -> None:
    assert stated_author("python-docx; Jane Doe;张三") == "Jane Doe; 张三"
    assert stated_author("openpyxl; Unknown") == ""


def test_what_the_libraries_write_today_is_known() -> None:
    book = openpyxl.load_workbook(_written(openpyxl.Workbook()))
    assert (book.properties.creator, stated_author(book.properties.creator)) == ("openpyxl", "")
    assert stated_author(WordFile().core_properties.author) == ""


@pytest.mark.parametrize("properties", [WordFile().core_properties, Presentation().core_properties])
def test_the_day_of_a_librarys_template_is_none(properties: CoreProperties) -> None:
    assert properties.created is not None and properties.created.year == 2013
    assert stated_creation(properties.created.strftime("%Y-%m-%dT%H:%M:%SZ")) is None


def test_the_day_that_an_office_file_states_is_its_own() -> None:
    assert stated_creation("2013-12-23T08:00:00Z") == datetime.date(2013, 12, 23)
    assert stated_creation("soon") is None


def _written(book: openpyxl.Workbook) -> io.BytesIO:
    file = io.BytesIO()
    book.save(file)
    return file
