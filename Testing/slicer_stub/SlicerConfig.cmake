# A stand-in for an installed Slicer, for Testing/test_extension.py: the names that an extension's CMake files use, with
# the same arguments as in Slicer and CTK, refusing what those refuse. It compiles nothing and copies at configuration.
set(Slicer_USE_FILE ${CMAKE_CURRENT_LIST_DIR}/UseSlicer.cmake)
set(Slicer_EXTENSION_GENERATE_CONFIG ${CMAKE_CURRENT_LIST_DIR}/record.cmake)
set(Slicer_EXTENSION_CPACK ${CMAKE_CURRENT_LIST_DIR}/record.cmake)
